"""Methods of extensions on the aggregate: passed to who has negotiated them. Roots, completion, templates."""

from __future__ import annotations

import pytest

from extras_fleet import ACROSS, ERAS, extras, flags, told
from garrison.catalog.spec import GrantSpec, RoleSpec, ServerSpec
from remote_servers import remote
from running_fleet import StartFleet, stdio
from speaking import Json, speaking

pytestmark = pytest.mark.slow

LOUD: Json = {"extensions": {"com.example/loud": {}}}
SERVER = "garrison/server"


@pytest.mark.parametrize(("era", "upstream"), ACROSS)
async def test_a_method_of_an_extension_goes_to_the_server_that_has_it(
    start_fleet: StartFleet, era: str, upstream: str
) -> None:
    running = await start_fleet(stdio("plain", "legacy_only"), extras("one", *flags(upstream)))
    async with speaking(running, era, **LOUD) as able, speaking(running, era) as unable:
        assert "com.example/loud" in (await able.begin())["capabilities"]["extensions"]
        assert (await able.result("loud/shout", text="hello"))["shouted"] == "HELLO ONE"
        assert (await unable.ask("loud/shout", text="hello"))["error"]["code"] == -32601


@pytest.mark.parametrize("era", ERAS)
async def test_of_several_servers_the_client_says_which(start_fleet: StartFleet, era: str) -> None:
    role = RoleSpec(name="two-only", grants=(GrantSpec(servers=("two",), tools=("*",)),))
    running = await start_fleet(extras("one", *flags(era)), extras("two", *flags(era)), roles=(role,))
    async with speaking(running, era, **LOUD) as client:
        refused = (await client.ask("loud/shout", text="x"))["error"]
        assert (refused["code"], refused["data"]["code"]) == (-32602, "method.ambiguous")
        assert "one, two" in refused["message"]
        assert (await client.result("loud/shout", {SERVER: "two"}, text="x"))["shouted"] == "X TWO"
        refused = (await client.ask("loud/shout", {SERVER: "three"}, text="x"))["error"]
        assert refused["data"]["code"] == "extension.not_negotiated"
    async with speaking(running, era, key=running.key("two-only"), **LOUD) as client:
        assert (await client.result("loud/shout", text="x"))["shouted"] == "X TWO"
        refused = (await client.ask("loud/shout", {SERVER: "one"}, text="x"))["error"]
        assert refused["data"]["code"] == "extension.not_negotiated"


async def test_the_other_eras_methods_are_no_extension(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one"), extras("two", "--modern"))
    async with speaking(running, "modern", **LOUD) as modern, speaking(running, "legacy", **LOUD) as legacy:
        for method in ("logging/setLevel", "resources/subscribe", "tasks/list", "tasks/result", "ping"):
            assert (await modern.ask(method, uri="memo://one"))["error"]["code"] == -32601
        for method in ("server/discover", "tasks/update"):
            assert (await legacy.ask(method, taskId="x"))["error"]["code"] == -32601


@pytest.mark.parametrize(("era", "upstream"), ACROSS)
async def test_completion_goes_where_the_reference_leads(start_fleet: StartFleet, era: str, upstream: str) -> None:
    running = await start_fleet(stdio("plain", "legacy_only"), extras("one", *flags(upstream)))
    argument = {"name": "who", "value": "al"}
    async with speaking(running, era) as client:
        templates = (await client.result("resources/templates/list"))["resourceTemplates"]
        (template,) = {one["uriTemplate"] for one in templates}
        for ref in (
            {"type": "ref/prompt", "name": "one__greeting"},
            {"type": "ref/prompt", "name": "plain__greeting"},
            {"type": "ref/resource", "uri": template},
        ):
            found = await client.result("completion/complete", ref=ref, argument=argument)
            assert found["completion"]["values"] == ["alan"]
        for bad in ({"type": "ref/prompt", "name": "nobody__greeting"}, {"type": "ref/resource", "uri": "x://y"}, {}):
            answer = await client.ask("completion/complete", ref=bad, argument=argument)
            assert answer["error"]["code"] == -32602


async def test_changed_roots_are_told_to_servers_that_were_told_of_roots(start_fleet: StartFleet) -> None:
    async with remote("extras", "--tag", "one") as url:
        running = await start_fleet(ServerSpec(name="one", transport="http", url=url))
        async with (
            speaking(running, "legacy", roots={"listChanged": True}) as able,
            speaking(running, "legacy") as not_able,
        ):
            for client in (able, not_able):
                await told(client, "one")
                await client.notify("notifications/roots/list_changed")
            assert "notifications/roots/list_changed" in (await told(able, "one"))["heard"]
            assert (await told(not_able, "one"))["heard"] == []
