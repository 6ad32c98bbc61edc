"""A legacy server that ends a request's stream before the answer: the rest is fetched, when it said and from where."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec import Raw

from garrison.kernel.errors import TimedOut
from garrison.protocol.transports import http as streamable
from protocol.peers import Asked, RawServer, Recorded, Talk, http, raw_server, until
from protocol.test_http_misbehaving import answering, plain, result

OPEN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
PAUSE = b"id: a1\nretry: 150\ndata:\n\n"


def pausing(rest: bytes, *, pause: bytes = PAUSE) -> Talk:
    """Answers a call with nothing but a place to go on from; `rest` is the answer to whoever comes back there."""

    async def call(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(plain(200, pause, kind="text/event-stream"))
        return True

    usual = answering(call, session="s1")

    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        if "last-event-id" not in asked.header:
            return await usual(asked, writer)
        writer.write(rest)
        return bool(rest)  # the connection stays open, and with it a stream that has no length

    return talk


def came_back(server: RawServer) -> list[Asked]:
    return [asked for asked in server.asked if "last-event-id" in asked.header]


async def call_of(server: RawServer) -> Any:
    async with http(server.url) as connection:
        await connection.open(5)
        reply = Recorded()
        connection.request(connection.reserve(), "test/call", {}, reply)
        end = await reply.end()
        assert connection.in_flight == 0
        return end


async def test_the_answer_is_fetched_from_where_the_stream_ended_and_not_before_its_time() -> None:
    loop = asyncio.get_running_loop()
    async with raw_server(pausing(OPEN + b"id: a2\ndata: " + result(3, n=1) + b"\n\n")) as server:
        begun = loop.time()
        end = await call_of(server)
        assert loop.time() - begun >= 0.15
    assert isinstance(end, Raw), end
    assert bytes(end) == b'{"n": 1}'
    (again,) = came_back(server)
    assert (again.verb, again.header["last-event-id"], again.header["mcp-session-id"]) == ("GET", "a1", "s1")
    assert again.header["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    "rest", [plain(405), plain(404), plain(200), plain(200, b"data:\n\n", kind="text/event-stream")]
)
async def test_where_the_rest_cannot_be_had_the_outcome_is_unknown_and_the_connection_lives(rest: bytes) -> None:
    async with raw_server(pausing(rest)) as server, http(server.url) as connection:
        await connection.open(5)
        reply = Recorded()
        connection.request(connection.reserve(), "test/call", {}, reply)
        end = await reply.end()
        assert isinstance(end, TimedOut), end
        assert connection.closed is None


async def test_a_server_that_is_gone_when_it_is_asked_for_the_rest_leaves_the_outcome_unknown() -> None:
    async with raw_server(pausing(b"")) as server, http(server.url) as connection:
        await connection.open(5)
        reply = Recorded()
        connection.request(connection.reserve(), "test/call", {}, reply)
        await until(lambda: any(json.loads(asked.body or b"{}").get("method") == "test/call" for asked in server.asked))
        connection._transport._pool._origin = streamable.parse_url("http://127.0.0.1:9/")  # type: ignore[attr-defined]
        connection._transport._pool._idle.clear()  # type: ignore[attr-defined]
        assert isinstance(await reply.end(), TimedOut)


async def test_nobody_comes_back_for_a_call_that_was_given_up() -> None:
    async with raw_server(pausing(plain(405))) as server, http(server.url) as connection:
        await connection.open(5)
        own, reply = connection.reserve(), Recorded()
        connection.request(own, "test/call", {}, reply)
        await until(lambda: connection._transport._exchanges.get(own).__class__.__name__ == "Resumed")  # type: ignore[attr-defined]
        connection.cancel(own, "enough")
        await asyncio.sleep(0.3)
    assert came_back(server) == []


@pytest.mark.parametrize("pause", [b"retry: 150\ndata:\n\n", b"id: \x01\ndata:\n\n", b": nothing\n\n"])
async def test_without_a_place_to_go_on_from_the_end_is_the_end(pause: bytes) -> None:
    async with raw_server(pausing(plain(405), pause=pause)) as server:
        assert isinstance(await call_of(server), TimedOut)
    assert came_back(server) == []
