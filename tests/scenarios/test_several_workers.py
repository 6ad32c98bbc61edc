"""Two workers on one address. No client keeps a connection here: every request may land on either of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from brought_up import META, Up, fixture_server, write
from command_line import Shell
from garrison.gateway.worker import Worker
from telemetry.promtext import flaws, read

pytestmark = pytest.mark.slow

BOTH = 6
"""Of so many clients some are at each worker, but for one run in 32."""
SINGLE = httpx2.Limits(max_keepalive_connections=0)
"""A connection for each request."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("workers")
    servers = {"one": fixture_server("everything"), "old": fixture_server("legacy_only")}
    write(folder, servers, supervisor={"health_interval_s": 0.5})
    shell = Shell(folder)
    shell("up", "--workers", "2", code=0)
    try:
        yield Up(shell)
    finally:
        shell("down", code=0)


@asynccontextmanager
async def stock_client(up: Up, server: str, mode: str, **able: Any) -> AsyncIterator[tuple[Client, httpx2.AsyncClient]]:
    headers = {"Authorization": f"Bearer {up.key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20, limits=SINGLE) as http,
        Client(streamable_http_client(f"{up.url}/servers/{server}/mcp", http_client=http), mode=mode, **able) as client,
    ):
        yield client, http


def workers(up: Up) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = up.shell("status", "--output", "json", code=0).json["workers"]
    return rows


def sockets_of(pid: int) -> int:
    return sum(1 for one in Path(f"/proc/{pid}/fd").iterdir() if "socket" in str(one.readlink()))


async def test_connections_are_spread_over_both(up: Up) -> None:
    pids = [up.pid, workers(up)[0]["pid"]]
    before = [sockets_of(pid) for pid in pids]
    async with AsyncExitStack() as stack:
        ends = [(await up.connect())[1] for _ in range(32)]
        stack.callback(lambda: [end.close() for end in ends])
        async with asyncio.timeout(20):
            while sum(sockets_of(pid) for pid in pids) < sum(before) + 32:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert all(sockets_of(pid) > was for pid, was in zip(pids, before, strict=True))


@pytest.mark.parametrize("server", ["one", "old"])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_stock_client_works_with_every_request_at_another_worker(up: Up, server: str, mode: str) -> None:
    for number in range(2):
        progress: list[float] = []

        async def heard(done: float, total: float | None, message: str | None) -> None:
            progress.append(done)  # noqa: B023  (it is over before the next round)

        async with asyncio.timeout(20), stock_client(up, server, mode) as (client, _):
            assert "echo" in {tool.name for tool in (await client.list_tools()).tools}
            said = await client.call_tool("echo", {"text": f"hello {number}"})
            assert f"hello {number}" in str(said.content)
            await client.call_tool("slow", {"steps": 3, "step_s": 0.02}, progress_callback=heard)
            assert progress == [1, 2, 3]


async def elicit(context: Any, params: Any) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_question_finds_its_client_and_the_answer_its_call(up: Up, mode: str) -> None:
    for _ in range(BOTH):
        async with asyncio.timeout(20), stock_client(up, "old", mode, elicitation_callback=elicit) as (client, _):
            assert "Ada" in str((await client.call_tool("inquire", {"what": "elicitation"})).content)


async def test_a_session_lives_at_one_worker_whichever_is_asked_and_ends_at_both(up: Up) -> None:
    at: Counter[int] = Counter()
    for _ in range(BOTH):
        async with httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
            session = await begin(up, http)
            at[Worker(1, 2).leads_to(session["mcp-session-id"])] += 1
            counts = [await count(up, http, session) for _ in range(5)]
            assert counts == [1, 2, 3, 4, 5], "all at the one process that this session has"
            await http.delete(f"{up.url}/servers/old/mcp", headers=session)
            after = [(await post(up, http, {"id": 1, "method": "ping"}, session)).status_code for _ in range(4)]
            assert after == [404] * 4
    assert len(at) == 2, "both workers open sessions"


async def test_a_cancellation_reaches_the_call_that_it_means(up: Up) -> None:
    for _ in range(BOTH):
        async with httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
            session = await begin(up, http)
            params = {"name": "slow", "arguments": {"steps": 1, "step_s": 30}}
            calling = asyncio.ensure_future(
                post(up, http, {"id": 7, "method": "tools/call", "params": params}, session)
            )
            async with asyncio.timeout(20):
                while not calling.done():  # until the call has arrived there is nothing to cancel
                    await asyncio.sleep(0.1)
                    cancelled = {"method": "notifications/cancelled", "params": {"requestId": 7}}
                    assert (await post(up, http, cancelled, session)).status_code == 202
            await http.delete(f"{up.url}/servers/old/mcp", headers=session)


async def test_news_of_a_server_reach_streams_at_both_workers(up: Up) -> None:
    heard: Counter[int] = Counter()

    async def listen(number: int) -> None:
        async def told(message: Any) -> None:
            if "ToolListChanged" in type(message).__name__ or "tools/list_changed" in str(message):
                heard[number] += 1

        async with stock_client(up, "one", "legacy", message_handler=told):
            await ready.wait()
            await over.wait()

    ready, over = asyncio.Event(), asyncio.Event()
    listening = [asyncio.ensure_future(listen(number)) for number in range(4)]
    async with asyncio.timeout(30), httpx2.AsyncClient(timeout=20) as http:
        await asyncio.sleep(1)
        ready.set()
        while len(heard) < 4:
            await up.call(http, "grow")
            await asyncio.sleep(0.3)
        over.set()
        await asyncio.gather(*listening)


async def test_the_older_transports_posts_find_their_stream(up: Up) -> None:
    for _ in range(2):
        headers = {"Authorization": f"Bearer {up.key}"}
        transport = sse_client(f"{up.url}/servers/one/sse", headers=headers, httpx_client_factory=single)
        async with asyncio.timeout(20), Client(transport, mode="legacy") as client:
            for number in range(4):
                assert str(number) in str((await client.call_tool("echo", {"text": str(number)})).content)


def single(headers: Any = None, timeout: Any = None, auth: Any = None) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers=headers, timeout=timeout, auth=auth, limits=SINGLE, follow_redirects=True)


async def test_metrics_are_of_both_and_count_every_call(up: Up) -> None:
    async with httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
        before = await called(up, http)
        for _ in range(2 * BOTH):
            assert (await up.call(http, "add", a=1, b=2)).status_code == 200
        assert await called(up, http) == before + 2 * BOTH


async def test_a_revoked_key_is_refused_by_both(up: Up) -> None:
    key = up.shell("keys", "create", "guest", "--role", "admin", "--output", "json", code=0).json["key"]
    headers = {**up.headers("add"), "authorization": f"Bearer {key}"}
    params = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    async def statuses(http: httpx2.AsyncClient) -> set[int]:
        sent = [http.post(f"{up.url}/servers/one/mcp", json=body, headers=headers) for _ in range(2 * BOTH)]
        return {answer.status_code for answer in await asyncio.gather(*sent)}

    async with asyncio.timeout(20), httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
        while await statuses(http) != {200}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        up.shell("keys", "revoke", "guest", "--yes", code=0)
        while await statuses(http) != {401}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_both_take_over_a_changed_configuration_and_a_restarted_server(up: Up) -> None:
    file = up.shell.folder / "garrison.yaml"
    config = json.loads(file.read_text())
    config["servers"]["new"] = fixture_server("modern_only")
    file.write_text(json.dumps(config))
    up.shell("up", code=0)
    async with httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
        for _ in range(2):
            answers = [(await up.call(http, "add", server="new", a=1, b=2)).status_code for _ in range(BOTH)]
            assert answers == [200] * BOTH
            up.shell("server", "restart", "new", code=0)
        del config["servers"]["new"]
        file.write_text(json.dumps(config))
        up.shell("up", code=0)
        answers = [(await up.call(http, "add", server="new", a=1, b=2)).status_code for _ in range(BOTH)]
        assert answers == [400] * BOTH


async def post(up: Up, http: httpx2.AsyncClient, message: dict[str, Any], headers: dict[str, str]) -> httpx2.Response:
    return await http.post(f"{up.url}/servers/old/mcp", json={"jsonrpc": "2.0", **message}, headers=headers)


async def begin(up: Up, http: httpx2.AsyncClient) -> dict[str, str]:
    """A legacy session that can be asked, so that it has a process of its own; the headers that belong to it."""
    headers = {"authorization": f"Bearer {up.key}", "accept": "application/json, text/event-stream"}
    client = {"clientInfo": {"name": "t", "version": "1"}, "capabilities": {"elicitation": {}}}
    params = {"protocolVersion": "2025-11-25", **client}
    answer = await post(up, http, {"id": 0, "method": "initialize", "params": params}, headers)
    headers |= {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    assert (await post(up, http, {"method": "notifications/initialized"}, headers)).status_code == 202
    return headers


async def count(up: Up, http: httpx2.AsyncClient, session: dict[str, str]) -> int:
    params = {"name": "count", "arguments": {}}
    answer = await post(up, http, {"id": 1, "method": "tools/call", "params": params}, session)
    return int(answer.json()["result"]["content"][0]["text"])


async def called(up: Up, http: httpx2.AsyncClient) -> int:
    """How often `add` was called, as the metrics say."""
    text = (await http.get(f"{up.url}/metrics", headers={"authorization": f"Bearer {up.key}"})).text
    assert flaws(read(text.encode())) == []
    lines = [
        line for line in text.splitlines() if "server_operation_duration_seconds_count" in line and '"add"' in line
    ]
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines)
