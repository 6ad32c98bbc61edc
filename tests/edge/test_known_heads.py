"""Heads that were read before: the short way must never accept what the long way would not."""

from __future__ import annotations

import asyncio
from socket import IPPROTO_TCP, TCP_NODELAY
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.gateway.heads import Head
from garrison.surfaces.edge.known_heads import KnownHeads
from raw_http import HOST, JSON, auth, exchange, length, post
from running_fleet import StartFleet, stdio

HEAD = Head("POST", "/mcp", {})
START = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: "


def known(*requests: bytes, limit: int = 1000) -> KnownHeads:
    heads = KnownHeads(limit)
    for request in requests:
        heads.keep(request, HEAD)
    return heads


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_known_head_is_found_with_any_body_of_the_length_it_says(first: bytes, second: bytes) -> None:
    heads = known(START + b"%d\r\n\r\n" % len(first) + first)
    found = heads.find(START + b"%d\r\n\r\n" % len(second) + second)
    assert found == (HEAD, second)


@given(st.binary(max_size=60), st.integers(min_value=0, max_value=200))
def test_a_body_of_another_length_goes_the_long_way(body: bytes, said: int) -> None:
    found = known(START + b"0\r\n\r\n").find(START + b"%d\r\n\r\n" % said + body)
    assert (found is not None) == (said == len(body))


@pytest.mark.parametrize(
    "request_",
    [
        START + b"3\r\n\r\nabc" + START + b"3\r\n\r\nabc",
        START + b"+3\r\n\r\nabc",
        START + b"3\r\nx: y\r\n\r\nabc",
        START + b"3\r\ncontent-length: 4\r\n\r\nabc",
        START + b"3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        START + b"3\n\r\nabc",
        START.replace(b"POST", b"GET") + b"3\r\n\r\nabc",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\n\r\nabc",
        START + b"3\r\n\r\nab",
    ],
)
def test_whatever_differs_from_what_was_accepted_goes_the_long_way(request_: bytes) -> None:
    assert known(START + b"3\r\n\r\nabc").find(request_) is None


def test_what_must_be_looked_at_each_time_is_not_kept() -> None:
    for extra in (b"Expect: 100-continue", b"upgrade: websocket", b"Transfer-Encoding: chunked"):
        request = START + b"0\r\n" + extra + b"\r\n\r\n"
        assert known(request).find(request) is None


def test_the_body_limit_holds_on_the_short_way() -> None:
    assert known(START + b"3\r\n\r\nabc", limit=3).find(START + b"4\r\n\r\nabcd") is None


@pytest.mark.slow
async def test_both_ways_give_the_same_answer_on_one_connection(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    bodies = [b'{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{}}' % number for number in (1, 22, 333)]
    for _ in range(3):
        for body in bodies:
            answer = await exchange(running, post(HOST + JSON + auth(running) + length(body), body))
            assert answer.startswith(b"HTTP/1.1 200")
            assert body[17:25].split(b",")[0] in answer


@pytest.mark.slow
async def test_a_revoked_key_is_refused_on_the_short_way_too(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    secret = running.key("admin", name="short-lived")
    body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'
    request = post(HOST + JSON + f"Authorization: Bearer {secret}\r\n".encode() + length(body), body)
    for _ in range(2):
        assert (await exchange(running, request)).startswith(b"HTTP/1.1 200")
    running.fleet.keys.revoke("short-lived")
    assert (await exchange(running, request)).startswith(b"HTTP/1.1 401")


CALL = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"},"_meta":%b}}'
)
META = b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'


@pytest.mark.slow
async def test_a_message_in_pieces_is_answered_as_in_one_and_its_head_is_known_as_well(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only", session="shared"))
    body = CALL % META
    named = b"mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: echo\r\n"
    head = post(HOST + JSON + auth(running) + named + length(body), b"").replace(b"/mcp", b"/servers/one/mcp", 1)
    parts = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    socket_ = writer.get_extra_info("socket")
    socket_.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)

    async def ask(*pieces: bytes) -> bytes:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        async with asyncio.timeout(20):
            found = await reader.readuntil(b"\r\n\r\n")
            size = int(found.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return await reader.readexactly(size)

    first = await ask(head + body)
    taken = running.fleet.gateway._fast.taken
    for _ in range(5):
        assert await ask(head, body) == first
    assert running.fleet.gateway._fast.taken > taken, "a head and a body, as many clients write them"
    for cut in (1, 10, len(head) - 2, len(head) + 1, len(head) + len(body) - 1):
        whole = head + body
        assert await ask(whole[:cut], whole[cut:]) == first
    assert await ask(head, body[:20], body[20:]) == first
    writer.write(head)
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.write(body + head + body)
    assert first in await ask()
    assert first in await ask()
    writer.close()
