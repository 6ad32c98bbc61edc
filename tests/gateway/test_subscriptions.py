"""Subscriptions to resources through the aggregate: both eras of clients, both of servers."""

from __future__ import annotations

import sys

import pytest

from extras_fleet import ACROSS, ERAS, extras, flags, told, until, until_subscribed
from garrison.catalog.spec import GrantSpec, RoleSpec, ServerSpec
from remote_servers import remote
from running_fleet import SERVERS, Running, StartFleet
from speaking import Speaker, speaking

pytestmark = pytest.mark.slow

URI = "memo://one"


async def subscribe(client: Speaker, *uris: str) -> None:
    if client.modern:
        await client.listen(resourceSubscriptions=list(uris))
        return
    await client.listen()
    for uri in uris:
        assert await client.result("resources/subscribe", uri=uri) == {}


def updates(client: Speaker) -> list[str]:
    return [one["params"]["uri"] for one in client.heard if one.get("method") == "notifications/resources/updated"]


@pytest.mark.parametrize("upstream", ERAS)
@pytest.mark.parametrize("era", ERAS)
async def test_an_update_reaches_those_who_subscribed_under_the_uri_that_they_know(
    start_fleet: StartFleet, era: str, upstream: str
) -> None:
    running = await start_fleet(extras("one", *flags(upstream), session="shared"), extras("two", *flags(upstream)))
    ui = "ui://one/app/main.html"
    async with speaking(running, era) as first, speaking(running, era) as other:
        await subscribe(first, URI, ui)
        await subscribe(other, "memo://bytes")
        await first.call("one__touch", uri=URI)
        await first.call("one__touch", uri="ui://app/main.html")
        await first.call("one__touch", uri="memo://bytes")
        await until(lambda: len(updates(first)) >= 2 and updates(other))
        assert updates(first) == [URI, ui]
        assert updates(other) == ["memo://bytes"]


@pytest.mark.parametrize(("era", "upstream"), ACROSS)
async def test_a_server_over_http_announces_too(start_fleet: StartFleet, era: str, upstream: str) -> None:
    async with remote("extras", *flags(upstream)) as url:
        running = await start_fleet(ServerSpec(name="one", transport="http", url=url))
        async with speaking(running, era) as client:
            await subscribe(client, URI)
            await client.call("one__touch", uri=URI)
            await until(lambda: updates(client))
            assert updates(client) == [URI]


@pytest.mark.parametrize("upstream", ERAS)
async def test_the_server_is_asked_once_and_left_by_the_last(start_fleet: StartFleet, upstream: str) -> None:
    running = await start_fleet(extras("one", *flags(upstream), session="shared"))
    async with speaking(running, "legacy") as first, speaking(running, "legacy") as second:
        await subscribe(first, URI)
        await subscribe(second, URI)
        assert (await told(first, "one"))["subscribed"] == [URI]
        await first.result("resources/unsubscribe", uri=URI)
        assert (await told(first, "one"))["subscribed"] == [URI]
        await second.end()
        await until(lambda: len(running.fleet.gateway.subscriptions) == 0)
        await until_subscribed(first, "one")


@pytest.mark.parametrize(("era", "upstream"), ACROSS)
async def test_after_a_restart_of_the_server_updates_come_again(
    start_fleet: StartFleet, era: str, upstream: str
) -> None:
    running = await start_fleet(extras("one", *flags(upstream), session="shared"))
    async with speaking(running, era) as client:
        await subscribe(client, URI)
        before = running.fleet.directory.get("one").connection
        await client.call("one__exit")
        await until(lambda: running.fleet.directory.get("one").connection not in (None, before))
        await until_subscribed(client, "one", URI)
        await client.call("one__touch", uri=URI)
        await until(lambda: updates(client))


async def test_a_client_with_a_process_of_its_own_hears_of_that_one(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one"))
    async with speaking(running, "legacy") as first, speaking(running, "legacy") as second:
        await subscribe(first, URI)
        await subscribe(second, URI)
        await first.call("one__touch", uri=URI)
        await first.call("one__exit")
        await until(lambda: updates(first) == [URI])
        await until_subscribed(first, "one", URI)
        assert updates(second) == []


@pytest.mark.parametrize("era", ERAS)
async def test_what_may_not_be_read_cannot_be_subscribed_to(start_fleet: StartFleet, era: str) -> None:
    role = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), resources=("memo://bytes",)),))
    running = await start_fleet(extras("one", session="shared"), roles=(role,))
    async with speaking(running, era, key=running.key("reader")) as client:
        if era == "legacy":
            assert (await client.ask("resources/subscribe", uri=URI))["error"]["code"] == -32602
            assert (await client.ask("resources/subscribe", uri="memo://nowhere"))["error"]["code"] == -32602
        else:
            await client.listen(resourceSubscriptions=[URI, "memo://bytes", "memo://nowhere"])
            honoured = client.heard[0]["params"]["notifications"]
            assert honoured == {"resourceSubscriptions": ["memo://bytes"]}


@pytest.mark.parametrize("era", ERAS)
async def test_a_grant_that_is_taken_away_ends_the_updates(start_fleet: StartFleet, era: str) -> None:
    role = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), tools=("*",), resources=("memo://*",)),))
    running = await start_fleet(extras("one", session="shared"), roles=(role,))
    async with speaking(running, era, key=running.key("reader")) as client:
        await subscribe(client, URI, "memo://bytes")
        less = GrantSpec(servers=("one",), tools=("*",), resources=("memo://bytes",))
        running.fleet.authoriser.replace({"reader": RoleSpec(name="reader", grants=(less,))})
        await client.call("one__touch", uri=URI)
        await client.call("one__touch", uri="memo://bytes")
        await until(lambda: updates(client))
        assert updates(client) == ["memo://bytes"]


async def test_a_server_without_subscriptions_says_so_by_name(start_fleet: StartFleet, running_plain: Running) -> None:
    async with speaking(running_plain, "legacy") as client:
        refused = (await client.ask("resources/subscribe", uri=URI))["error"]
        assert refused["code"] == -32601
        assert "server plain" in refused["message"]


@pytest.fixture
async def running_plain(start_fleet: StartFleet) -> Running:
    command = (sys.executable, str(SERVERS / "legacy_only.py"))
    return await start_fleet(ServerSpec(name="plain", transport="stdio", command=command))
