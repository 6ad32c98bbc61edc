"""Log messages of servers: each client hears its own level and above, in the way of its era."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extras_fleet import ERAS, extras, flags, told, until
from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.gateway.levels import LEVELS, at_least
from running_fleet import StartFleet
from speaking import Json, Speaker, speaking

LOG = "notifications/message"
WANTED = "io.modelcontextprotocol/logLevel"


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS))
def test_levels_are_ordered(level: str, wanted: str) -> None:
    assert at_least(level, wanted) is (LEVELS.index(level) >= LEVELS.index(wanted))


def levels(messages: list[Json]) -> list[str]:
    return [one["params"]["level"] for one in messages if one.get("method") == LOG]


async def log(client: Speaker, *wanted: str) -> None:
    for level in wanted:
        await client.call("one__log", level=level)


@pytest.mark.slow
async def test_a_shared_server_gets_the_lowest_level_and_each_client_its_own(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one", session="shared"))
    async with (
        speaking(running, "legacy") as quiet,
        speaking(running, "legacy") as curious,
        speaking(running, "legacy") as silent,
    ):
        for client in (quiet, curious, silent):
            await client.listen()
        assert await quiet.result("logging/setLevel", level="error") == {}
        assert await curious.result("logging/setLevel", level="info") == {}
        assert (await told(quiet, "one"))["heard"] == ["logging/setLevel error", "logging/setLevel info"]
        await log(quiet, "debug", "info", "error", "alert")
        await until(lambda: levels(curious.heard) == ["info", "error", "alert"])
        await until(lambda: levels(quiet.heard) == ["error", "alert"])
        assert silent.heard == []
        await curious.end()
        assert (await told(quiet, "one"))["heard"][-1] == "logging/setLevel error"


@pytest.mark.slow
async def test_a_connection_of_ones_own_gets_ones_own_level_even_if_it_is_opened_later(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one"))
    async with speaking(running, "legacy") as client:
        await client.listen()
        await client.result("logging/setLevel", level="warning")
        await log(client, "info", "error")
        await until(lambda: levels(client.heard) == ["error"])
        await client.result("logging/setLevel", level="debug")
        assert (await told(client, "one"))["heard"] == ["logging/setLevel warning", "logging/setLevel debug"]


@pytest.mark.slow
async def test_after_a_restart_the_server_is_told_again(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one", session="shared"))
    async with speaking(running, "legacy") as client:
        await client.result("logging/setLevel", level="warning")
        before = running.fleet.directory.get("one").connection
        await client.call("one__exit")
        await until(lambda: running.fleet.directory.get("one").connection not in (None, before))
        assert (await told(client, "one"))["heard"] == ["logging/setLevel warning"]


@pytest.mark.slow
async def test_an_unknown_level_is_refused(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one"))
    async with speaking(running, "legacy") as client:
        for level in ("loud", 7, None):
            assert (await client.ask("logging/setLevel", level=level))["error"]["code"] == -32602


@pytest.mark.slow
async def test_who_may_not_use_a_server_does_not_hear_its_log(start_fleet: StartFleet) -> None:
    role = RoleSpec(name="other", grants=(GrantSpec(servers=("two",), tools=("*",)),))
    running = await start_fleet(extras("one", session="shared"), extras("two", session="shared"), roles=(role,))
    async with speaking(running, "legacy") as admin, speaking(running, "legacy", key=running.key("other")) as other:
        for client in (admin, other):
            await client.listen()
            await client.result("logging/setLevel", level="debug")
        await log(admin, "error")
        await other.call("two__log", level="alert")
        await until(lambda: levels(other.heard))
        assert levels(other.heard) == ["alert"]
        assert sorted(levels(admin.heard)) == ["alert", "error"]


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_modern_servers_log_comes_with_the_request_that_wanted_it(start_fleet: StartFleet, era: str) -> None:
    running = await start_fleet(extras("one", *flags("modern")))
    async with speaking(running, era) as client:
        wish: Json = {WANTED: "error"} if era == "modern" else {}
        if era == "legacy":
            await client.listen()
            await client.result("logging/setLevel", level="error")
        answers = [
            await client.ask("tools/call", wish, name="one__log", arguments={"level": level})
            for level in ("info", "alert")
        ]
        said = [message for answer in answers for message in answer["before"]] + client.heard
        assert levels(said) == ["alert"]


@pytest.mark.slow
async def test_a_legacy_servers_log_reaches_a_modern_client_that_asked_for_it_only(start_fleet: StartFleet) -> None:
    async with speaking(await start_fleet(extras("one")), "modern") as client:
        for wanted, heard in ((None, []), ("error", ["alert"]), ("debug", ["info", "alert"])):
            wish = {WANTED: wanted} if wanted else {}
            answers = [
                await client.ask("tools/call", wish, name="one__log", arguments={"level": level})
                for level in ("info", "alert")
            ]
            assert levels([message for answer in answers for message in answer["before"]]) == heard
