"""Large results of HTTP servers: passed on while they come, held back with their reader, cut when they break."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from faults.load import Caller
from garrison.catalog.spec import ServerSpec
from garrison.protocol.transports import http_answers
from protocol.peers import Asked, RawServer, raw_server, until
from running_fleet import Running, StartFleet

pytestmark = pytest.mark.slow

SIZE = 3 << 20
PIECE = b"x" * (128 << 10)
META = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
MODERN = {**META, "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": {"name": "far"}}
LEGACY = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "far"}}
TOOLS = {"tools": [{"name": "large", "inputSchema": {"type": "object"}}]}
Write = Callable[[asyncio.StreamWriter, int], Awaitable[bool]]


def plain(status: int, result: object = None, own: int = 0) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": own, "result": result}).encode() if result is not None else b""
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


@asynccontextmanager
async def serving(start_fleet: StartFleet, era: str, write: Write) -> AsyncIterator[tuple[Running, RawServer]]:
    """A fleet with one raw server whose tool answers as `write` says."""

    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        message = json.loads(asked.body or b"{}")
        method, own = message.get("method", ""), message.get("id", 0)
        if method == "tools/call":
            return await write(writer, own)
        known: dict[str, object] = {"tools/list": {**META, **TOOLS} if era == "modern" else TOOLS, "ping": {}}
        known |= {"server/discover": MODERN} if era == "modern" else {"initialize": LEGACY}
        writer.write(plain(200, known[method], own) if method in known else plain(405 if asked.verb == "GET" else 202))
        return True

    async with raw_server(talk) as server:
        running = await start_fleet(ServerSpec(name="one", transport="http", url=server.url))
        yield running, server


def around(own: int, *, id_first: bool, more: str = "") -> tuple[bytes, bytes]:
    """A result up to its long text, and from there on."""
    begins = f'{{"jsonrpc":"2.0","id":{own},"result":' if id_first else '{"result":'
    ends = "}\n" if id_first else f',"jsonrpc":"2.0","id":{own}}}'
    begins += '{"resultType":"complete","content":[{"type":"text","text":"'
    return begins.encode(), f'"}}]{more}}}{ends}'.encode()


def sends(
    size: int = SIZE, *, chunked: bool = False, id_first: bool = True, more: str = "", stop: int = 1 << 40
) -> Write:
    """A long text, bytes by the piece; the server hangs up after `stop` of them."""

    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        begins, ends = around(own, id_first=id_first, more=more)
        length = len(begins) + size + len(ends)
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % length
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%b\r\n\r\n" % framing)
        sent = 0
        for part in (begins, *[PIECE] * (size // len(PIECE)), ends):
            writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            await writer.drain()
            sent += len(part)
            if sent > stop:
                return False
        writer.write(b"0\r\n\r\n" if chunked else b"")
        return True

    return write


async def answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Head and body, by length or in chunks."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if "transfer-encoding: chunked" not in head:
        return head, await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:size]
    assert await reader.readline() == b"\r\n"
    return head, body


def outcomes(running: Running) -> list[str]:
    return [entry.outcome for entry in running.records() if entry.kind == "call.outcome" and entry.target == "large"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("id_first", [False, True])
@pytest.mark.parametrize("more", ["", ',"isError":true', ',"structuredContent":{"isError":true}'])
async def test_a_large_result_comes_through_as_it_was(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch, chunked: bool, id_first: bool, more: str
) -> None:
    """Twice on one connection: the second call takes the fast path where the first has paved it, and all is in step."""
    received = collected(monkeypatch)
    async with serving(start_fleet, "modern", sends(chunked=chunked, id_first=id_first, more=more)) as (running, _):
        caller = Caller(running.url, running.admin_key)
        reader, writer = await caller.streams()
        for _ in range(2):
            writer.write(caller.request("large"))
            head, body = await asyncio.wait_for(answer(reader), 20)
            assert ("chunked" in head) is chunked
            message = json.loads(body)
            assert (message.keys(), message["id"]) == ({"jsonrpc", "id", "result"}, 1)
            assert message["result"]["content"][0]["text"] == "x" * SIZE
        caller.close()
        assert outcomes(running) == ["tool_error" if more.startswith(',"isE') else "ok"] * 2
    assert max(received) < SIZE, "nobody has held it"


def collected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the answers that were collected."""
    sizes, receive = [0], http_answers.Answer._receive

    def noted(self: http_answers.Answer, data: bytes) -> None:
        sizes.append(len(data))
        receive(self, data)

    monkeypatch.setattr(http_answers.Answer, "_receive", noted)
    return sizes


async def test_a_legacy_client_gets_a_legacy_servers_large_result(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = collected(monkeypatch)
    async with serving(start_fleet, "legacy", sends(more=',"isError":false')) as (running, _):
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        session = (await running.post("/mcp", asked)).headers["mcp-session-id"]
        call = {"jsonrpc": "2.0", "id": "two", "method": "tools/call", "params": {"name": "one__large"}}
        headers = {"mcp_session_id": session, "accept_encoding": "identity"}
        found = (await running.post("/mcp", call, **headers)).json()
        assert (found["id"], found["result"]["content"][0]["text"]) == ("two", "x" * SIZE)
        assert outcomes(running) == ["ok"]
    assert max(received) < SIZE


async def test_a_large_result_is_compressed_while_it_comes(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = collected(monkeypatch)
    async with serving(start_fleet, "modern", sends(more=',"isError":true')) as (running, _):
        caller = Caller(running.url, running.admin_key)
        reader, writer = await caller.streams()
        writer.write(caller.request("large").replace(b"\r\n", b"\r\naccept-encoding: gzip\r\n", 1) * 2)
        for _ in range(2):
            head, body = await asyncio.wait_for(answer(reader), 20)
            assert "content-encoding: gzip" in head
            assert json.loads(zlib.decompress(body, 31))["result"]["content"][0]["text"] == "x" * SIZE
        caller.close()
        assert outcomes(running) == ["tool_error"] * 2
    assert max(received) < SIZE


async def test_who_may_know_no_chunks_gets_the_whole_at_once(start_fleet: StartFleet) -> None:
    async with serving(start_fleet, "modern", sends(chunked=True)) as (running, _):
        caller = Caller(running.url, running.admin_key)
        reader, writer = await caller.streams()
        writer.write(caller.request("large").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        head, body = await asyncio.wait_for(answer(reader), 20)
        caller.close()
        assert "content-length" in head
        assert len(json.loads(body)["result"]["content"][0]["text"]) == SIZE


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("coding", [b"identity", b"gzip"])
async def test_a_server_that_breaks_off_cuts_the_client(start_fleet: StartFleet, chunked: bool, coding: bytes) -> None:
    async with serving(start_fleet, "modern", sends(chunked=chunked, stop=SIZE // 2)) as (running, server):
        caller = Caller(running.url, running.admin_key)
        reader, writer = await caller.streams()
        writer.write(caller.request("large").replace(b"\r\n", b"\r\naccept-encoding: %b\r\n" % coding, 1))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError, ValueError)):
            await asyncio.wait_for(answer(reader), 20)
        caller.close()
        assert outcomes(running) == ["server.lost"]
        calls = [asked for asked in server.asked if b"tools/call" in asked.body]
        assert len(calls) == 1, "what has begun to be answered is not asked again"


async def test_what_turns_out_to_be_no_response_cuts_the_client(start_fleet: StartFleet) -> None:
    async with serving(start_fleet, "modern", sends(more='},"error":{"code":1,"message":""')) as (running, _):
        caller = Caller(running.url, running.admin_key)
        reader, writer = await caller.streams()
        writer.write(caller.request("large"))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(answer(reader), 20)
        caller.close()
        assert outcomes(running) == ["server.bad_response"]


async def test_the_server_is_held_back_with_the_client_and_let_go_with_it(start_fleet: StartFleet) -> None:
    """A client that reads nothing of 48 MB keeps all but a window of it at the server; when it goes, so do we."""
    sent, gone = [0], asyncio.Event()

    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        begins, ends = around(own, id_first=True)
        length = len(begins) + (48 << 20) + len(ends)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % length)
        writer.write(begins)
        try:
            while sent[0] < 48 << 20:
                writer.write(PIECE)
                sent[0] += len(PIECE)
                await writer.drain()
        except ConnectionError:
            gone.set()
            raise
        writer.write(ends)
        return True

    async with serving(start_fleet, "modern", write) as (running, _):
        caller = Caller(running.url, running.admin_key)
        _, writer = await caller.streams()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(caller.request("large"))
        await until(lambda: sent[0] > 0)
        before = -1
        while before != sent[0]:  # until nothing moves any more
            before = sent[0]
            await asyncio.sleep(0.3)
        print(f"{before >> 20} MB of 48 left the server")  # noqa: T201
        assert before < 32 << 20, "what fits into the sockets' buffers, and a window"
        caller.close()
        await asyncio.wait_for(gone.wait(), 20)
        await until(lambda: outcomes(running) == ["call.cancelled"])


async def test_who_reads_slowly_gets_it_all(start_fleet: StartFleet) -> None:
    async with serving(start_fleet, "modern", sends(24 << 20)) as (running, _):
        caller = Caller(running.url, running.admin_key)
        reader, writer = await caller.streams()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(caller.request("large") * 2)
        await asyncio.sleep(0.5)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(2):
            _, body = await asyncio.wait_for(answer(reader), 20)
            assert len(json.loads(body)["result"]["content"][0]["text"]) == 24 << 20
        caller.close()
        assert outcomes(running) == ["ok", "ok"]
