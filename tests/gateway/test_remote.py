"""Servers that run elsewhere: Streamable HTTP in both eras and both answer forms, and the older HTTP+SSE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import legacy_only
import pytest
from mcp.shared.exceptions import MCPError

from garrison.catalog.spec import ServerSpec, Transport
from protocol.peers import web
from remote_servers import remote
from running_fleet import StartFleet

pytestmark = pytest.mark.slow


def spec(url: str, transport: Transport = "http", **more: str) -> ServerSpec:
    return ServerSpec(name="far", transport=transport, url=url, headers=more)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize(
    ("script", "flags", "transport"),
    [
        ("everything", (), "http"),
        ("everything", ("--json",), "http"),
        ("everything", ("--sse",), "sse"),
        ("legacy_only", (), "http"),
        ("modern_only", (), "http"),
    ],
)
async def test_a_remote_server_is_listed_and_called(
    start_fleet: StartFleet, mode: str, script: str, flags: tuple[str, ...], transport: Transport
) -> None:
    async with remote(script, *flags) as url:
        running = await start_fleet(spec(url, transport))
        for path, prefix in (("/mcp", "far__"), ("/servers/far/mcp", "")):
            async with running.client(path, mode) as client:
                assert f"{prefix}echo" in {tool.name for tool in (await client.list_tools()).tools}
                for number in range(5):
                    result = await client.call_tool(f"{prefix}add", {"a": number, "b": 1})
                    assert result.structured_content == {"sum": number + 1}


async def test_a_remote_server_that_goes_away_and_comes_back_is_used_again(start_fleet: StartFleet) -> None:
    async with remote("everything") as url:
        running = await start_fleet(spec(url))
    port = int(url.split(":")[2].split("/")[0])
    async with running.client() as client:
        with pytest.raises(MCPError, match="far"):
            await client.call_tool("far__echo", {"text": "anybody?"})
        async with remote("everything", port=port):
            async with asyncio.timeout(20):
                while running.fleet.directory.get("far").connection is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert not (await client.call_tool("far__echo", {"text": "hello"})).is_error


async def test_calls_one_after_the_other_use_one_warm_connection(start_fleet: StartFleet) -> None:
    async with remote("everything", "--json") as url, relay_to(url) as relay:
        running = await start_fleet(spec(relay.url))
        async with running.client() as client:
            await client.call_tool("far__echo", {"text": "first"})
            before = relay.accepted
            for _ in range(20):
                await client.call_tool("far__echo", {"text": "again"})
        assert relay.accepted == before


class Relay:
    """Passes bytes on and counts connections."""

    def __init__(self, port: int) -> None:
        self.accepted = 0
        self.url = ""
        self.writers: list[asyncio.StreamWriter] = []
        self._port = port

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.writers += [writer, far_writer]
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


@asynccontextmanager
async def relay_to(url: str) -> AsyncIterator[Relay]:
    relay = Relay(int(url.split(":")[2].split("/")[0]))
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    try:
        yield relay
    finally:
        server.close()
        for writer in relay.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


async def test_the_callers_credentials_reach_no_server(start_fleet: StartFleet) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    running = await start_fleet(spec(url, authorization="Bearer for-the-server"))
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    await running.post("/servers/far/mcp", hello, cookie="session=secret")
    server.close()
    assert heard
    for request in heard:
        assert running.admin_key.encode() not in request
        assert b"session=secret" not in request
        assert b"Bearer for-the-server" in request


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_server_that_lost_its_sessions_is_used_on_without_anybody_noticing(
    start_fleet: StartFleet, mode: str
) -> None:
    server = legacy_only.LegacyHttp()
    async with web(server.app()) as url:
        running = await start_fleet(spec(url))
        async with running.client("/mcp", mode) as client:
            await client.call_tool("far__echo", {"text": "before"})
            began = server.begun
            server.sessions.clear()
            results = await asyncio.gather(*(client.call_tool("far__echo", {"text": str(n)}) for n in range(10)))
            assert [result.content[0].text for result in results] == [str(n) for n in range(10)]  # type: ignore[union-attr]
            assert server.begun - began <= 2, "the client's connection, and the shared one when it was used"
            assert not [entry for entry in running.records() if entry.outcome == "server.session_lost"]
