"""The gateway from outside: stock clients of both eras, real servers of both eras."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError

from garrison.catalog.spec import GrantSpec, Offer, RoleSpec
from garrison.surfaces.fleet_metrics import add_fleet_metrics
from garrison.telemetry.exposition import render
from running_fleet import StartFleet, stdio
from telemetry.promtext import flaws, read

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring.md"

pytestmark = pytest.mark.slow

CLIENTS = ["legacy", "auto"]
UPSTREAMS = ["legacy_only", "modern_only", "everything"]


@pytest.mark.parametrize("mode", CLIENTS)
@pytest.mark.parametrize("script", UPSTREAMS)
async def test_every_client_era_lists_and_calls_every_server_era(
    start_fleet: StartFleet, mode: str, script: str
) -> None:
    running = await start_fleet(stdio("one", script))
    for path, prefix in (("/mcp", "one__"), ("/servers/one/mcp", "")):
        async with running.client(path, mode) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert f"{prefix}echo" in names
            result = await client.call_tool(f"{prefix}echo", {"text": "hello"})
            assert not result.is_error
            assert "hello" in str(result.content)
            added = await client.call_tool(f"{prefix}add", {"a": 1, "b": 2})
            assert added.structured_content == {"sum": 3}
            failed = await client.call_tool(f"{prefix}fail", {"message": "no luck"})
            assert failed.is_error


@pytest.mark.parametrize("mode", CLIENTS)
@pytest.mark.parametrize("script", UPSTREAMS)
async def test_progress_reaches_the_client_with_its_own_token(start_fleet: StartFleet, mode: str, script: str) -> None:
    running = await start_fleet(stdio("one", script))
    seen: list[float] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    async with running.client("/mcp", mode) as client:
        await client.call_tool("one__slow", {"steps": 3, "step_s": 0.01}, progress_callback=on_progress)
    assert seen == sorted(seen)
    assert len(seen) >= 2


async def test_the_aggregate_joins_servers_and_routes_by_prefix(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("a", "legacy_only"), stdio("a__b", "modern_only"), stdio("c", "everything"))
    async with running.client() as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert tools.index("a__echo") < tools.index("a__b__echo") < tools.index("c__echo")
        for name in ("a__count", "a__b__count", "a__b__count"):
            await client.call_tool(name, {})
        assert "3" in str((await client.call_tool("a__b__count", {})).content)
        assert "2" in str((await client.call_tool("a__count", {})).content)


async def test_prompts_resources_and_completion_go_to_their_server(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "everything"))
    async with running.client() as client:
        prompts = (await client.list_prompts()).prompts
        assert prompts
        assert all(prompt.name.startswith("one__") for prompt in prompts)
        resources = (await client.list_resources()).resources
        assert resources
        content = await client.read_resource(resources[0].uri)
        assert content.contents


async def test_without_a_key_nothing_happens(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "one__count", "arguments": {}}}
    for key in ("", "Bearer gsn_aaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Basic YTpi"):
        response = await running.post("/mcp", call, authorization=key)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert response.json()["error"]["code"] == -32051
    assert [entry.kind for entry in running.records() if entry.kind != "change"] == ["refusal"] * 3


async def test_a_key_without_a_role_may_do_nothing(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    response = await running.post("/mcp", body, authorization=f"Bearer {running.key()}")
    assert response.status_code == 403
    assert response.json()["error"]["data"]["code"] == "grant.none"


@pytest.mark.parametrize("mode", CLIENTS)
@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
async def test_what_is_listed_is_what_may_be_called(start_fleet: StartFleet, mode: str, path: str) -> None:
    reader = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), tools=("e*", "add")),))
    running = await start_fleet(stdio("one", "legacy_only"), stdio("two", "legacy_only"), roles=(reader,))
    prefix = "" if path != "/mcp" else "one__"
    async with running.client(path, mode, running.key("reader")) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert listed == {f"{prefix}echo", f"{prefix}add"}
        await client.call_tool(f"{prefix}add", {"a": 1, "b": 1})
        for hidden in (f"{prefix}count", "two__echo"):
            with pytest.raises(MCPError) as refused:
                await client.call_tool(hidden, {"text": "x"})
            assert refused.value.error.code in (-32053, -32602)
    assert {entry.target for entry in running.records() if entry.outcome == "grant.missing"} >= {"count"}


async def test_a_filtered_tool_is_neither_listed_nor_callable(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", tools=Offer(deny=("crash", "count"))))
    for path, prefix in (("/mcp", "one__"), ("/servers/one/mcp", "")):
        async with running.client(path) as client:
            assert f"{prefix}crash" not in {tool.name for tool in (await client.list_tools()).tools}
            with pytest.raises(MCPError, match="Unknown tool"):
                await client.call_tool(f"{prefix}count", {})


async def test_bad_arguments_are_refused_before_the_server_sees_them(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    async with running.client() as client:
        with pytest.raises(MCPError, match="invalid arguments") as refused:
            await client.call_tool("one__add", {"a": "one", "b": 2})
        assert refused.value.error.code == -32602
    assert not [entry for entry in running.records() if entry.kind == "call.intent"]


async def test_a_null_for_what_may_be_left_out_counts_as_left_out(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    async with running.client() as client:
        failed = await client.call_tool("one__fail", {"message": None})
        assert "it failed" in str(failed.content), "the server's default, so it saw no null"
        with pytest.raises(MCPError, match="invalid arguments"):
            await client.call_tool("one__echo", {"text": None})


async def test_broken_structured_output_does_not_reach_the_client(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    async with running.client() as client:
        with pytest.raises(MCPError, match="broke its contract"):
            await client.call_tool("one__broken_forecast", {"city": "Bern"})


async def test_a_server_that_dies_in_mid_call_gives_one_clear_error_and_comes_back(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"), stdio("two", "legacy_only"))
    async with running.client() as client:
        with pytest.raises(MCPError, match="one went away before it answered") as lost:
            await client.call_tool("one__crash", {"exit_code": 3})
        assert lost.value.error.code == -32055
        assert "one__echo" in {tool.name for tool in (await client.list_tools()).tools}, "its place is kept"
        assert not (await client.call_tool("two__echo", {"text": "still here"})).is_error
        async with asyncio.timeout(20):
            while running.fleet.directory.get("one").connection is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not (await client.call_tool("one__echo", {"text": "back"})).is_error


async def test_a_lazy_server_is_started_by_its_first_call(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", start="lazy"))
    assert running.fleet.supervisor.observed()["one"].state == "stopped"
    async with running.client("/servers/one/mcp") as client:
        assert not (await client.call_tool("echo", {"text": "awake"})).is_error
    assert running.fleet.supervisor.observed()["one"].state == "running"


async def test_list_changes_are_announced_to_those_who_listen(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    heard = asyncio.Event()

    async def on_message(message: object) -> None:
        if "ToolListChanged" in type(message).__name__ or "tools/list_changed" in str(message):
            heard.set()

    async with running.client("/mcp", "legacy", message_handler=on_message) as client:
        await asyncio.sleep(0.2)  # the client opens its stream by itself, beside the handshake
        before = len((await client.list_tools()).tools)
        await client.call_tool("one__grow", {})
        async with asyncio.timeout(10):
            await heard.wait()
        assert len((await client.list_tools()).tools) == before + 1


async def test_every_call_is_on_the_record_with_its_intent(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    async with running.client() as client:
        await client.call_tool("one__echo", {"text": "private words"})
    calls = [entry for entry in running.records() if entry.action == "tools/call"]
    assert [entry.kind for entry in calls] == ["call.intent", "call.outcome"]
    assert calls[0].call == calls[1].call
    assert (calls[1].server, calls[1].target, calls[1].outcome) == ("one", "echo", "ok")
    assert calls[1].duration_us > 0
    assert "private words" not in str(running.records())
    assert running.fleet.ledger.verify().ok


async def test_somebody_elses_session_is_unknown(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
    session = (await running.post("/mcp", hello)).headers["mcp-session-id"]
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    assert (await running.post("/mcp", ping, mcp_session_id=session)).json()["result"] == {}
    other = f"Bearer {running.key('admin', name='other')}"
    for headers in ({"authorization": other}, {"mcp_session_id": session[:-2] + "AA"}):
        response = await running.post("/mcp", ping, **{"mcp_session_id": session, **headers})
        assert response.status_code == 404
    elsewhere = await running.post("/servers/one/mcp", ping, mcp_session_id=session)
    assert elsewhere.status_code == 404


async def test_calls_connections_and_sessions_are_measured_under_the_fields_names(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", session="shared"))
    async with running.client("/mcp", "legacy") as client:
        await client.call_tool("one__echo", {"text": "x"})
    for key in ("", "Bearer wrong"):
        assert (await running.post("/mcp", {}, authorization=key)).status_code == 401
    await running.fleet.supervisor.restart("one")
    add_fleet_metrics(running.fleet)
    rendered = render(running.fleet.metrics)
    assert flaws(read(rendered)) == []
    cells = re.findall(r"^\| (`(?:garrison|mcp|process)_[^|]+)\|", MONITORING.read_text(), re.MULTILINE)
    described = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert described == {family.name for family in running.fleet.metrics.families()}
    text = rendered.decode()
    for line in (
        'mcp_server_operation_duration_seconds_count{mcp_method_name="tools/call",garrison_server_name="one",'
        'gen_ai_tool_name="echo",error_type=""} 1',
        'mcp_client_operation_duration_seconds_count{mcp_method_name="tools/call",garrison_server_name="one",'
        'error_type=""} 1',
        "mcp_server_session_duration_seconds_count 1",
        'mcp_client_session_duration_seconds_count{garrison_server_name="one",mcp_protocol_version="2025-11-25"} 1',
        'garrison_auth_failures_total{error_type="key.missing"} 1',
        'garrison_auth_failures_total{error_type="key.unknown"} 1',
        'garrison_server_running{garrison_server_name="one"} 1',
    ):
        assert line in text, line
