"""A server that is dead, slow or silent takes nothing from the others' lists; what is not fresh is marked."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extras_fleet import ERAS, extras, flags, until
from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.gateway import lapses
from garrison.gateway.upstreams import listing, upstream
from garrison.gateway.upstreams.upstream import Lapse
from garrison.protocol.messages import decode_any, encode
from running_fleet import StartFleet, stdio
from speaking import DEADLINE_S, Speaker, speaking

LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}


@given(
    st.dictionaries(st.text(max_size=5), st.builds(Lapse, st.text(max_size=5), st.booleans(), st.text(max_size=300)))
)
def test_a_marked_list_is_the_list_and_what_is_said_of_it(found: dict[str, Lapse]) -> None:
    page = encode({"tools": [{"name": "a"}], "nextCursor": "x"})
    marked = decode_any(lapses.marked(page, found))
    said = marked.pop("_meta", {}).get(lapses.META_SERVERS, {})
    assert marked == decode_any(page)
    assert said.keys() == found.keys()
    assert all(len(one["why"]) <= 200 for one in said.values())


async def listed(client: Speaker, method: str = "tools/list") -> tuple[set[str], dict[str, dict[str, str]]]:
    result = await client.result(method)
    names = {one.get("name", "") for one in result[LISTS[method]]}
    return names, result.get("_meta", {}).get(lapses.META_SERVERS, {})


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_server_that_hangs_in_its_list_delays_and_empties_nobody_elses(
    start_fleet: StartFleet, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LIST_TIMEOUT_S", 0.5)
    monkeypatch.setattr(upstream, "LIST_AGAIN_S", 0.2)
    running = await start_fleet(extras("mute", *flags(era), "--hang", "tools/list"), extras("one"))
    async with speaking(running, era) as client:
        names, said = await listed(client)
        assert "one__echo" in names
        assert not [name for name in names if name.startswith("mute__")]
        assert said.keys() == {"mute"}
        assert said["mute"]["list"] == "none"
        assert said["mute"]["state"] == "unread"
        assert "did not answer tools/list" in said["mute"]["why"]
        refused = (await client.ask("tools/call", name="mute__echo", arguments={"text": "x"}))["error"]
        assert refused["code"] == -32602
        await until(lambda: running.fleet.directory.get("mute").lapse("prompts/list") is None)
        assert "mute__greeting" in (await listed(client, "prompts/list"))[0], "its other lists are fresh"


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_the_last_good_list_of_a_dead_server_is_served_and_marked(start_fleet: StartFleet, era: str) -> None:
    running = await start_fleet(stdio("dead", "legacy_only", session="shared"), extras("one"))
    async with speaking(running, era) as client:
        before = {method: await listed(client, method) for method in LISTS}
        assert all(said == {} for _, said in before.values())
        pid = running.fleet.supervisor.observed()["dead"].pid
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_S):
            while not running.fleet.directory.get("dead").lapse("tools/list"):  # noqa: ASYNC110
                await asyncio.sleep(0)
        names, said = await listed(client)
        assert names == before["tools/list"][0]
        if said:  # it comes back within moments
            assert (said["dead"]["state"], said["dead"]["list"]) == ("away", "last")
        await until(lambda: not running.fleet.directory.get("dead").lapse("tools/list"))
        assert (await listed(client))[1] == {}


@pytest.mark.slow
async def test_list_and_call_agree_while_a_server_is_away(start_fleet: StartFleet) -> None:
    role = RoleSpec(name="other", grants=(GrantSpec(servers=("one",), tools=("*",)),))
    running = await start_fleet(stdio("dead", "legacy_only", session="shared"), extras("one"), roles=(role,))
    directory = running.fleet.directory
    async with speaking(running, "legacy") as client, speaking(running, "legacy", key=running.key("other")) as other:
        names, _ = await listed(client)
        directory.lost("dead", "it was ended by signal 9", "see its log")
        after, said = await listed(client)
        assert after == names
        assert said == {"dead": {"state": "away", "list": "last", "why": "it was ended by signal 9"}}
        refused = (await client.ask("tools/call", name="dead__echo", arguments={"text": "x"}))["error"]
        assert refused["code"] == -32056
        assert "server dead is not available: it was ended by signal 9" in refused["message"]
        assert (await client.call("one__echo", text="still here"))["content"][0]["text"] == "still here"
        assert (await listed(other))[1] == {}, "whoever may not use the server learns nothing of it"
