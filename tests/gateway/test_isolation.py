"""Whose process a server's is: each client's own by default, shared where its owner says so; and none is left over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import msgspec
import psutil
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ServerSpec
from garrison.surfaces.setting_groups.calls import LimitSettings
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring import fleet as wiring
from running_fleet import Running, StartFleet, running_fleet, stdio

pytestmark = pytest.mark.slow


def processes(script: str = "legacy_only") -> set[int]:
    """Our children that run this fixture server."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE and any(script in word for word in child.cmdline()):
                found.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (what is waited for is another process)
            await asyncio.sleep(0.02)


async def said(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(f"one__{tool}", arguments)
    assert not result.is_error
    assert isinstance(result.content[0], types.TextContent)
    return result.content[0].text


@asynccontextmanager
async def two(running: Running, mode: str, keys: tuple[str, str] = ("", "")) -> AsyncIterator[tuple[Client, Client]]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running.client("/mcp", mode, keys[0]))
        second = await stack.enter_async_context(running.client("/mcp", mode, keys[1]))
        yield first, second


async def test_legacy_sessions_do_not_meet_in_one_process_and_each_ends_with_its_session(
    start_fleet: StartFleet,
) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    async with two(running, "legacy") as (ada, alan):
        assert [await said(ada, "count"), await said(ada, "count"), await said(alan, "count")] == ["1", "2", "1"]
        assert len(processes()) == 3
    await until(lambda: len(processes()) == 1)
    assert len(running.fleet.gateway.own) == 0


async def test_listing_starts_no_process(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    async with running.client("/mcp", "legacy") as client:
        assert (await client.list_tools()).tools
        assert len(processes()) == 1


async def test_modern_clients_meet_if_they_are_the_same_principals_only(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    keys = (running.key("admin", name="ada"), running.key("admin", name="alan"))
    async with two(running, "auto", keys) as (ada, alan), running.client("/mcp", "auto", keys[0]) as hers_too:
        counted = [await said(client, "count") for client in (ada, hers_too, alan)]
    assert counted == ["1", "2", "1"]
    assert len(processes()) == 3


async def test_a_server_that_is_said_to_be_shared_has_one_process(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", session="shared"))
    async with two(running, "legacy") as (ada, alan), running.client("/mcp", "auto") as modern:
        counted = [await said(client, "count") for client in (ada, alan, modern)]
        assert (counted, len(processes())) == (["1", "2", "3"], 1)


async def test_a_modern_server_is_shared_whoever_calls(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only"))
    async with two(running, "auto") as (ada, _), running.client("/mcp", "legacy") as legacy:
        counted = [await said(client, "count") for client in (ada, legacy)]
    assert (counted, len(processes("modern_only"))) == (["1", "2"], 1)


async def test_what_is_beyond_the_cap_is_refused_until_a_session_ends(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", sessions_max=2))
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "one__count", "arguments": {}}}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    sessions = [(await running.post("/mcp", hello)).headers["mcp-session-id"] for _ in range(3)]
    for session in sessions[:2]:
        assert (await running.post("/mcp", asked, mcp_session_id=session)).status_code == 200
    refused = await running.post("/mcp", asked, mcp_session_id=sessions[2])
    assert (refused.status_code, refused.json()["error"]["data"]["code"]) == (429, "server.sessions_full")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "sessions_max" in refused.json()["error"]["message"]
    assert len(processes()) == 3
    await _delete(running, sessions[0])
    assert (await running.post("/mcp", asked, mcp_session_id=sessions[2])).status_code == 200
    await until(lambda: len(processes()) == 3)


async def test_one_principal_leaves_room_for_the_others(start_fleet: StartFleet) -> None:
    running = await start_fleet(
        stdio("one", "legacy_only", sessions_max=3), settings=Settings(limits=LimitSettings(sessions_share=0.5))
    )
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "one__count", "arguments": {}}}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}

    async def begun(key: str) -> dict[str, str]:
        known = {"authorization": f"Bearer {key}"}
        return {**known, "mcp_session_id": (await running.post("/mcp", hello, **known)).headers["mcp-session-id"]}

    ada, bob = running.key("admin", name="ada"), running.key("admin", name="bob")
    sessions = [await begun(key) for key in (ada, ada, ada, bob)]
    answers = [await running.post("/mcp", asked, **one) for one in sessions]
    assert [one.status_code for one in answers] == [200, 200, 429, 200]
    assert answers[2].json()["error"]["data"]["code"] == "limit.sessions"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60


async def _delete(running: Running, session: str) -> None:
    headers = {"authorization": f"Bearer {running.admin_key}", "mcp-session-id": session}
    async with httpx2.AsyncClient() as http:
        assert (await http.delete(f"{running.url}/mcp", headers=headers)).status_code < 300


async def test_a_process_that_crashes_takes_its_own_sessions_call_with_it_and_nothing_else(
    start_fleet: StartFleet,
) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    shared = processes()
    async with two(running, "legacy") as (ada, alan):
        assert [await said(ada, "count"), await said(alan, "count")] == ["1", "1"]
        for _ in range(4):
            with pytest.raises(MCPError, match="went away"):
                await ada.call_tool("one__crash", {})
        assert await said(alan, "count") == "2"
        assert await said(ada, "count") == "1", "a fresh process"
        for _ in range(5):
            with pytest.raises(MCPError, match="went away"):
                await ada.call_tool("one__crash", {})
        with pytest.raises(MCPError, match="left alone"):
            await ada.call_tool("one__count", {})
        assert await said(alan, "count") == "3"
        assert running.fleet.gateway.breaker.state("one") == "closed"
        assert shared <= processes()


async def test_a_process_that_rests_ends_and_the_next_call_gets_another(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", session_idle_s=0.3))
    async with running.client("/mcp", "legacy") as client:
        assert await said(client, "count") == "1"
        await until(lambda: len(processes()) == 1)
        assert await said(client, "count") == "1"


async def test_a_call_in_flight_is_no_rest(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", session_idle_s=0.1))
    async with running.client("/mcp", "legacy") as client:
        assert "done" in await said(client, "slow", steps=8, step_s=0.1)


async def test_a_warm_process_is_ready_before_its_client_and_replaced_after(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", warm=1))
    own = running.fleet.gateway.own
    await until(lambda: own.ready("one") == 1)
    before = processes()
    assert len(before) == 2
    async with running.client("/mcp", "legacy") as client:
        assert await said(client, "count") == "1"
        assert processes() >= before
        await until(lambda: own.ready("one") == 1)
        assert len(processes()) == 3
    await until(lambda: len(processes()) == 2)


async def test_the_pool_learns_what_its_next_client_can_be_asked(start_fleet: StartFleet) -> None:
    async def elicit(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    running = await start_fleet(stdio("one", "legacy_only", warm=1))
    own = running.fleet.gateway.own
    for _ in range(2):
        await until(lambda: own.ready("one") == 1)
        before = processes()
        async with running.client("/mcp", "legacy", elicitation_callback=elicit) as client:
            assert "Ada" in await said(client, "inquire", what="elicitation")
            used = processes() - before
    await until(lambda: own.ready("one") == 1)
    assert len(processes()) == 2
    assert len(used) <= 1, "the second client's process was there already; only its replacement is new"


@pytest.mark.parametrize("change", ["another", "gone"])
async def test_a_reload_ends_the_processes_of_what_it_changes_and_spares_the_calls(
    start_fleet: StartFleet, change: str
) -> None:
    spec = stdio("one", "legacy_only", warm=1)
    running = await start_fleet(spec)
    async with running.client("/mcp", "legacy") as client:
        await said(client, "count")
        await until(lambda: len(processes()) == 3)
        before = processes()
        calling = asyncio.ensure_future(said(client, "slow", steps=10, step_s=0.05))
        await until(lambda: running.fleet.directory.busy("one"))
        servers = {"one": msgspec.structs.replace(spec, env={"A": "b"})} if change == "another" else {}
        await wiring.apply(running.fleet, Snapshot(servers, {}))
        assert "done" in await calling
        await until(lambda: not before & processes())
        await until(lambda: len(processes()) == (2 if servers else 0))


async def test_nothing_is_left_when_a_fleet_ends_in_the_middle_of_everything(tmp_path: Path) -> None:
    async with running_fleet(tmp_path, (stdio("one", "legacy_only", warm=2),)) as running:
        async with running.client("/mcp", "legacy") as client:
            await said(client, "count")
            opening = asyncio.ensure_future(two_more(running))
            await asyncio.sleep(0.05)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        assert processes()
    assert processes() == set()


async def two_more(running: Running) -> None:
    async with two(running, "legacy") as clients:
        await asyncio.gather(*(said(client, "count") for client in clients))


DIES_ONCE = """
import json, os, sys
marker = sys.argv[1]
def say(own, **result): print(json.dumps({"jsonrpc": "2.0", "id": own, "result": result}), flush=True)
for line in sys.stdin:
    asked = json.loads(line); method, own = asked["method"], asked.get("id")
    if own is None: continue
    if method == "initialize":
        info = {"name": "dying", "version": "1"}
        say(own, protocolVersion="2025-11-25", capabilities={"resources": {}, "logging": {}}, serverInfo=info)
    elif method == "logging/setLevel":
        open(marker + ".levels", "a").write(asked["params"]["level"] + " "); say(own)
    elif method == "resources/list": say(own, resources=[{"uri": "memo://one", "name": "one"}])
    elif method == "resources/templates/list": say(own, resourceTemplates=[])
    elif method == "resources/read":
        if not os.path.exists(marker): open(marker, "w"); os._exit(3)
        say(own, contents=[{"uri": "memo://one", "text": str(os.getpid())}])
    elif method == "ping": say(own)
    else: print(json.dumps({"jsonrpc": "2.0", "id": own, "error": {"code": -32601, "message": "no"}}), flush=True)
"""


async def test_a_read_that_met_its_processes_end_is_made_again_on_a_fresh_one_with_the_level_set_again(
    start_fleet: StartFleet, tmp_path: Path
) -> None:
    marker = tmp_path / "died"
    command = (sys.executable, "-c", DIES_ONCE, str(marker))
    running = await start_fleet(ServerSpec(name="one", transport="stdio", command=command))
    async with running.client("/servers/one/mcp", "legacy") as client:
        with pytest.warns(Warning, match="logging"):  # its client finds this old-fashioned
            await client.set_logging_level("debug")
        found = await client.read_resource("memo://one")
        assert found.contents
        assert marker.exists()
        await until(lambda: (tmp_path / "died.levels").read_text().split() == ["debug", "debug"])
    records = [entry for entry in running.records() if entry.kind == "call.intent" and entry.action == "resources/read"]
    assert len(records) == 2


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_what_a_clients_own_process_has_come_to_offer_is_that_clients_to_see_and_to_call(
    start_fleet: StartFleet, mode: str
) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    keys = (running.key("admin", name="ada"), running.key("admin", name="alan"))

    async def names(client: Client) -> set[str]:
        return {tool.name for tool in (await client.list_tools()).tools}

    async with two(running, mode, keys) as (ada, alan):
        await said(alan, "count")
        usual = await names(ada)
        await said(ada, "grow")
        async with asyncio.timeout(20):
            while "one__grown_1" not in await names(ada):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await names(ada) == usual | {"one__grown_1"}
        assert await names(alan) == usual
        with pytest.raises(MCPError, match="Unknown tool: grown_1"):
            await ada.call_tool("one__grown_1", {})  # it came to the server, which does nothing with it
        with pytest.raises(MCPError, match="one__grown_1"):
            await alan.call_tool("one__grown_1", {})
    await until(lambda: mode == "auto" or running.fleet.gateway.own.views == 0)
