"""HTTP+SSE of 2024-11-05, served: a stock client over it, and strangers who know its URL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

from garrison.catalog.spec import GrantSpec, RoleSpec
from running_fleet import Running, StartFleet, stdio

pytestmark = pytest.mark.slow


@asynccontextmanager
async def older_client(running: Running, path: str = "/sse", key: str = "", **more: Any) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key or running.admin_key}"}
    try:
        async with Client(sse_client(running.url + path, headers=headers), mode="legacy", **more) as client:
            yield client
    except* anyio.BrokenResourceError:
        pass  # the SDK trips over a message that comes while it closes


class Raw:
    """The stream by hand."""

    def __init__(self, running: Running, lines: AsyncIterator[str]) -> None:
        self._running = running
        self._lines = lines
        self.path = ""

    async def event(self) -> tuple[str, str]:
        async with asyncio.timeout(5):
            kind = ""
            async for line in self._lines:
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    return kind, line[6:]
        raise AssertionError("the stream ended")

    async def post(self, message: object, **headers: str) -> httpx2.Response:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return await self._running.post(self.path, body, **headers)


@asynccontextmanager
async def by_hand(running: Running, path: str = "/sse") -> AsyncIterator[Raw]:
    headers = {"authorization": f"Bearer {running.admin_key}", "accept": "text/event-stream"}
    async with httpx2.AsyncClient(timeout=20) as http, http.stream("GET", running.url + path, headers=headers) as got:
        assert got.status_code == 200
        found = Raw(running, got.aiter_lines())
        kind, found.path = await found.event()
        assert kind == "endpoint"
        yield found


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
HELLO = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2024-11-05"}}


@pytest.mark.parametrize("script", ["legacy_only", "modern_only", "everything"])
@pytest.mark.parametrize(("path", "prefix"), [("/sse", "one__"), ("/servers/one/sse", "")])
async def test_a_stock_client_lists_calls_and_hears_progress(
    start_fleet: StartFleet, script: str, path: str, prefix: str
) -> None:
    running = await start_fleet(stdio("one", script))
    seen: list[float] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    async with older_client(running, path) as client:
        assert f"{prefix}echo" in {tool.name for tool in (await client.list_tools()).tools}
        assert (await client.call_tool(f"{prefix}add", {"a": 1, "b": 2})).structured_content == {"sum": 3}
        slow = {"steps": 3, "step_s": 0.01}
        await client.call_tool(f"{prefix}slow", slow, progress_callback=on_progress)
        assert len(seen) >= 2
        big = await client.call_tool(f"{prefix}big", {"size_bytes": 300_000})
        assert len(big.content[0].text) == 300_000  # type: ignore[union-attr]
    async with asyncio.timeout(5):
        while len(running.fleet.gateway.streams):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_it_is_authorised_and_recorded_like_any_other_way(start_fleet: StartFleet) -> None:
    reader = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), tools=("echo",)),))
    running = await start_fleet(stdio("one", "legacy_only"), roles=(reader,))
    async with older_client(running, "/sse", running.key("reader")) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["one__echo"]
        with pytest.raises(MCPError) as refused:
            await client.call_tool("one__count", {})
        assert refused.value.error.code == -32602
    assert "grant.missing" in {entry.outcome for entry in running.records()}


async def test_changes_are_announced_on_the_stream(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    heard = asyncio.Event()

    async def on_message(message: object) -> None:
        if "ToolListChanged" in type(message).__name__ or "tools/list_changed" in str(message):
            heard.set()

    async with older_client(running, message_handler=on_message) as client:
        await client.call_tool("one__grow", {})
        async with asyncio.timeout(10):
            await heard.wait()


async def test_without_a_key_there_is_no_stream_and_nothing_to_post_to(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    async with httpx2.AsyncClient() as http:
        assert (await http.get(running.url + "/sse")).status_code == 401
    async with by_hand(running) as stream:
        assert (await stream.post(PING, authorization="")).status_code == 401
        assert (await stream.post(PING)).status_code == 202
        assert json.loads((await stream.event())[1])["id"] == 1, "the stranger's left no trace on the stream"


async def test_a_stream_is_its_principals_alone(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    stranger = f"Bearer {running.key('admin', name='other')}"
    async with by_hand(running) as stream:
        for message in (HELLO, PING, {**PING, "method": "tools/list"}, {"jsonrpc": "2.0", "method": "x"}):
            assert (await stream.post(message, authorization=stranger)).status_code == 404
        assert (await stream.post(HELLO)).status_code == 202
        assert json.loads((await stream.event())[1])["result"]["protocolVersion"] == "2024-11-05"
        assert (await stream.post(PING, authorization=stranger)).status_code == 404
        assert (await stream.post({**PING, "id": 7})).status_code == 202
        assert json.loads((await stream.event())[1])["id"] == 7
        own_path = stream.path
        stream.path = own_path[:-2] + ("AA" if not own_path.endswith("AA") else "BB")
        assert (await stream.post(PING)).status_code == 404, "another spelling"
        stream.path = "/servers/one" + own_path
        assert (await stream.post(PING)).status_code == 404, "another endpoint"
    stream.path = own_path
    async with asyncio.timeout(5):
        while (await stream.post(PING)).status_code != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_malformed_posts_are_refused_on_the_post(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    async with by_hand(running) as stream:
        for body in (b"{", b"[]", b"null", b"[" + json.dumps(PING).encode() + b"]"):
            assert (await stream.post(body)).status_code == 400
        assert (await stream.post(PING, content_type="text/plain")).status_code == 415
        assert (await stream.post(PING, mcp_protocol_version="2026-07-28")).status_code == 400
        async with httpx2.AsyncClient() as http:
            headers = {"authorization": f"Bearer {running.admin_key}"}
            assert (await http.get(running.url + stream.path, headers=headers)).status_code == 405
            assert (await http.post(running.url + "/sse", headers=headers, json=PING)).status_code == 405
        assert (await stream.post(PING)).status_code == 202


async def test_a_stream_that_goes_away_takes_its_calls_with_it(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    async with by_hand(running, "/servers/one/sse") as stream:
        await stream.post(HELLO)
        await stream.event()
        params = {"name": "slow", "arguments": {"steps": 1, "step_s": 30}}
        assert (
            await stream.post({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})
        ).status_code == 202
        assert running.fleet.gateway.shed.in_flight == 1
    async with asyncio.timeout(2):
        while running.fleet.gateway.shed.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "call.cancelled" in {entry.outcome for entry in running.records()}
