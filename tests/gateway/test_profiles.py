"""Filters, names and profiles from outside: stock clients of both eras, real servers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from garrison.catalog.spec import Filter, GrantSpec, Offer, ProfileSpec, RoleSpec, Selection
from garrison.surfaces.wiring import fleet as wiring
from running_fleet import Running, StartFleet, snapshot_of, stdio

pytestmark = pytest.mark.slow

CLIENTS = ["legacy", "auto"]
READING = ProfileSpec(
    name="reading",
    description="For those who only look",
    servers={
        "one": Selection(
            tools=Filter(allow=("echo", "add"), deny=("add",)),
            prompts=Filter(deny=("plain",)),
            resources=Filter(allow=("memo://one", "memo://notes/*")),
        ),
    },
)
PATH = "/profiles/reading/mcp"


async def refused(awaitable: Any) -> str:
    with pytest.raises(MCPError) as caught:
        await awaitable
    return f"{caught.value.error.code} {caught.value.error.message}"


@pytest.mark.parametrize("mode", CLIENTS)
async def test_a_profile_lists_its_selection_and_nothing_else_can_be_used(start_fleet: StartFleet, mode: str) -> None:
    running = await start_fleet(stdio("one", "modern_only"), stdio("two", "legacy_only"), profiles=(READING,))
    async with running.client(PATH, mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["one__echo"]
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["one__greeting"]
        assert [str(one.uri) for one in (await client.list_resources()).resources] == ["memo://one"]
        templates = (await client.list_resource_templates()).resource_templates
        assert [one.uri_template for one in templates] == ["memo://notes/{name}"]
        assert "hello" in str((await client.call_tool("one__echo", {"text": "hello"})).content)
        assert (await client.read_resource("memo://one")).contents
        assert (await client.read_resource("memo://notes/x")).contents
        assert (await client.get_prompt("one__greeting", {"who": "Ada"})).messages
        never = await refused(client.call_tool("one__never_was", {}))
        for name in ("one__add", "one__count", "two__echo"):
            assert await refused(client.call_tool(name, {})) == never.replace("one__never_was", name)
        for name in ("one__plain", "one__never_was", "two__greeting"):
            assert f"Unknown prompt: {name}" in await refused(client.get_prompt(name))
        assert "Unknown resource: memo://bytes" in await refused(client.read_resource("memo://bytes"))
        assert "For those who only look" in (client.instructions or "")


async def test_grants_count_in_addition_to_a_profile(start_fleet: StartFleet) -> None:
    roles = (RoleSpec(name="adder", grants=(GrantSpec(servers=("one",), tools=("add",)),)),)
    everything = ProfileSpec(name="reading", servers={"one": Selection()})
    running = await start_fleet(stdio("one", "legacy_only"), roles=roles, profiles=(everything,))
    async with running.client(PATH, key=running.key("adder")) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["one__add"]
        assert (await client.call_tool("one__add", {"a": 1, "b": 2})).structured_content == {"sum": 3}
        with pytest.raises((MCPError, httpx2.HTTPStatusError, ExceptionGroup)):
            await client.call_tool("one__echo", {"text": "x"})
    assert [entry.outcome for entry in running.records() if entry.kind == "refusal"] == ["grant.missing"]


async def test_a_session_is_bound_to_its_endpoint(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"), profiles=(READING, ProfileSpec(name="other")))
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    opened = await running.post(PATH, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    session = opened.headers["mcp-session-id"]
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    assert (await running.post(PATH, ping, mcp_session_id=session)).status_code == 200
    for path in ("/mcp", "/profiles/other/mcp", "/servers/one/mcp"):
        assert (await running.post(path, ping, mcp_session_id=session)).status_code == 404


async def test_a_profile_that_is_not_there_says_so(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    assert "profile.unknown" in (await running.post("/profiles/nobodys/mcp", asked)).text
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    answer = await running.post("/profiles/one/mcp", call, mcp_protocol_version=MODERN, mcp_method="tools/list")
    assert "profile.unknown" in answer.text, "and a server's name is no profile's"


MODERN = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


@pytest.mark.parametrize("mode", CLIENTS)
@pytest.mark.parametrize("script", ["legacy_only", "modern_only"])
async def test_renamed_and_described_tools_are_called_by_their_new_names(
    start_fleet: StartFleet, mode: str, script: str
) -> None:
    tools = Offer(rename={"echo": "say", "add": "plus"}, describe={"echo": "Our own words"})
    prompts = Offer(rename={"greeting": "hello"}, describe={"greeting": "Be polite"})
    running = await start_fleet(stdio("one", script, tools=tools, prompts=prompts, prefix="x"))
    async with running.client("/mcp", mode) as client:
        listed = {tool.name: tool.description for tool in (await client.list_tools()).tools}
        assert listed["x__say"] == "Our own words"
        assert listed["x__plus"] == "Add two numbers"
        assert not {"x__echo", "one__echo", "one__say"} & listed.keys()
        assert "hi" in str((await client.call_tool("x__say", {"text": "hi"})).content)
        assert (await client.call_tool("x__plus", {"a": 1, "b": 2})).structured_content == {"sum": 3}
        for name in ("x__echo", "one__echo", "say"):
            assert f"Unknown tool: {name}" in await refused(client.call_tool(name, {"text": "hi"}))
        prompt = {one.name: one.description for one in (await client.list_prompts()).prompts}
        assert prompt["x__hello"] == "Be polite"
        assert (await client.get_prompt("x__hello", {"who": "Ada"})).messages
    async with running.client("/servers/one/mcp", mode) as client:
        own = {tool.name: tool.description for tool in (await client.list_tools()).tools}
        assert own["echo"] == "Say it again", "a server's own endpoint shows it as it is"
    assert {entry.target for entry in running.records() if entry.action == "tools/call" and entry.server} >= {"echo"}


@pytest.mark.parametrize("mode", CLIENTS)
async def test_what_is_filtered_out_is_not_there_on_any_endpoint(start_fleet: StartFleet, mode: str) -> None:
    spec = stdio(
        "one",
        "legacy_only",
        tools=Offer(deny=("crash",)),
        prompts=Offer(allow=("plain",)),
        resources=Filter(deny=("memo://bytes", "memo://notes/*")),
    )
    running = await start_fleet(spec)
    for path, prefix in (("/mcp", "one__"), ("/servers/one/mcp", "")):
        async with running.client(path, mode) as client:
            assert f"{prefix}crash" not in {tool.name for tool in (await client.list_tools()).tools}
            assert [prompt.name for prompt in (await client.list_prompts()).prompts] == [f"{prefix}plain"]
            assert "memo://bytes" not in {str(one.uri) for one in (await client.list_resources()).resources}
            assert (await client.list_resource_templates()).resource_templates == []
            assert "Unknown tool" in await refused(client.call_tool(f"{prefix}crash", {}))
            assert "Unknown prompt" in await refused(client.get_prompt(f"{prefix}greeting", {"who": "x"}))
            for uri in ("memo://bytes", "memo://notes/x"):
                assert "Unknown resource" in await refused(client.read_resource(uri))


async def test_ambiguous_names_fall_back_to_full_ones_and_are_logged(
    start_fleet: StartFleet, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start_fleet(
        stdio("one", "legacy_only", prefix="", tools=Offer(allow=("echo", "add"))),
        stdio("two", "modern_only", prefix="", tools=Offer(allow=("echo", "count"))),
    )
    async with running.client() as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["one__echo", "add", "two__echo", "count"]
        for name in ("one__echo", "two__echo"):
            assert "hi" in str((await client.call_tool(name, {"text": "hi"})).content)
        assert "Unknown tool: echo" in await refused(client.call_tool("echo", {"text": "hi"}))
        assert (await client.call_tool("add", {"a": 1, "b": 2})).structured_content == {"sum": 3}
    told = [record.why for record in caplog.records if record.message == "a name is not shown as configured"]  # type: ignore[attr-defined]
    assert "tool echo of server two cannot be shown as echo, it is shown as two__echo" in told
    assert len(told) == len(set(told)), "each is told once"


async def test_a_lazy_server_without_a_prefix_is_found_by_a_name_that_is_in_no_list(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only", prefix="", start="lazy"), stdio("two", "legacy_only"))
    async with running.client() as client:
        assert "hi" in str((await client.call_tool("echo", {"text": "hi"})).content)
        assert "echo" in {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("mode", CLIENTS)
async def test_another_snapshot_changes_names_and_profiles_at_once_and_says_so_to_those_who_listen(
    start_fleet: StartFleet, mode: str
) -> None:
    one = stdio("one", "legacy_only")
    running = await start_fleet(one, profiles=(READING,))
    before = running.fleet.directory.upstreams["one"].connection
    heard = asyncio.Event()

    async def on_message(message: Any) -> None:
        if "tools/list_changed" in str(getattr(message, "method", "")) or "ToolListChanged" in type(message).__name__:
            heard.set()

    async with running.client(PATH, mode, message_handler=on_message) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["one__echo"]
        renamed = stdio("one", "legacy_only", tools=Offer(rename={"echo": "say", "add": "plus"}), prefix="")
        wider = ProfileSpec(name="reading", servers={"one": Selection(tools=Filter(allow=("echo", "add")))})
        await wiring.apply(running.fleet, snapshot_of((renamed,), (), (wider,)))
        assert [tool.name for tool in (await client.list_tools()).tools] == ["say", "plus"]
        assert "hi" in str((await client.call_tool("say", {"text": "hi"})).content)
        if mode == "legacy":
            await asyncio.wait_for(heard.wait(), 20)
        await wiring.apply(running.fleet, snapshot_of((one,)))
        assert "profile.unknown" in await gone(running)
    assert running.fleet.directory.upstreams["one"].connection is before, "the server ran on"


async def gone(running: Running) -> str:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    return (await running.post(PATH, call, mcp_protocol_version=MODERN, mcp_method="tools/list")).text


async def test_the_older_transport_serves_profiles_too(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"), profiles=(READING,))
    headers = {"Authorization": f"Bearer {running.admin_key}", "accept": "text/event-stream"}
    async with (
        httpx2.AsyncClient(timeout=20) as http,
        http.stream("GET", f"{running.url}/profiles/reading/sse", headers=headers) as stream,
    ):
        assert stream.status_code == 200
        lines = stream.aiter_lines()
        async for line in lines:
            if line.startswith("data: "):
                break
        assert line.startswith("data: /profiles/reading/sse/")
        await running.post(line[6:], {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        async for line in lines:
            if line.startswith("data: "):
                break
        assert '"name":"one__echo"' in line
        assert "one__add" not in line


async def test_a_modern_listener_at_a_profile_hears_of_its_own_servers_only(start_fleet: StartFleet) -> None:
    one, two = stdio("one", "modern_only"), stdio("two", "modern_only")
    everything = ProfileSpec(name="reading", servers={"one": Selection()})
    running = await start_fleet(one, two, profiles=(everything,))
    changed = asyncio.Event()
    running.fleet.directory.on_changed(lambda server, notification: changed.set() if server == "two" else None)
    asked = {"notifications": {"toolsListChanged": True}, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": asked}
    headers = {
        "authorization": f"Bearer {running.admin_key}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": "subscriptions/listen",
    }
    async with (
        httpx2.AsyncClient(timeout=20) as http,
        http.stream("POST", running.url + PATH, json=body, headers=headers) as stream,
        running.client() as client,
    ):
        events = (line async for line in stream.aiter_lines() if line.startswith("data: "))
        assert "acknowledged" in await anext(events)
        await client.call_tool("two__grow", {})
        await asyncio.wait_for(changed.wait(), 20)
        await client.call_tool("one__grow", {})
        assert "notifications/tools/list_changed" in await anext(events)
        running.fleet.gateway.streams.close_all()
        rest = [line async for line in events]
    assert [line for line in rest if "list_changed" in line] == [], "the other server's change was not told here"
