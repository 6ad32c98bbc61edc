"""HTTP+SSE of 2024-11-05 against the SDK's server, and against ones that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from everything import sse_app
from msgspec import Raw

from garrison.kernel.errors import GarrisonError, Invalid, TimedOut, Unavailable
from garrison.protocol import events
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, params_of, raw
from protocol.peers import Asked, RawServer, Recorded, descriptors, raw_server, sse, until, web

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
HELLO = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "raw"}}


async def test_the_sdks_server_is_used_from_end_to_end() -> None:
    heard: list[Message] = []
    async with web(sse_app(), "/sse") as url:
        before = descriptors()
        async with sse(url) as connection:
            connection._legacy_only = True
            connection.on_message(heard.append)
            await connection.open(10)
            assert (connection.info.era, connection.info.name) == ("legacy", "everything")
            own, reply = connection.reserve(), Recorded()
            meta = raw({"progressToken": own})
            params = {"name": raw("slow"), "arguments": raw({"steps": 2}), "_meta": meta}
            connection.request(own, "tools/call", params, reply)
            assert b"done after 2" in bytes(await reply.end())
            assert [json.loads(bytes(params_of(each)["progress"])) for each in reply.messages] == [1, 2]
            await connection.ask("tools/call", {"name": "grow", "arguments": {}})
            await until(lambda: heard)
            await connection.ping(5)
        await until(lambda: len(descriptors()) <= len(before))


class Server:
    """A server by hand: `endpoint` is announced, `answer` gives what goes onto the stream for a message."""

    def __init__(self, endpoint: str = "/post?s=1", status: int = 202) -> None:
        self.endpoint = endpoint
        self.status = status
        self.stream: asyncio.StreamWriter | None = None

    async def talk(self, asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        if asked.verb == "GET":
            self.stream = writer
            writer.write(STREAM + f"event: endpoint\ndata: {self.endpoint}\n\n".encode())
            return True
        message = json.loads(asked.body)
        if message["method"] == "test/call":
            return await self.called(message["id"], writer)
        writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 8\r\n\r\nAccepted")
        if message["method"] == "initialize":
            self.say({"jsonrpc": "2.0", "id": message["id"], "result": HELLO})
        elif "id" in message:
            self.say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "m"}})
        return True

    def say(self, message: dict[str, Any]) -> None:
        assert self.stream is not None
        self.stream.write(f"data: {json.dumps(message)}\r\n\r\n".encode())

    async def called(self, own: int, writer: asyncio.StreamWriter) -> bool | None:
        writer.write(f"HTTP/1.1 {self.status} X\r\ncontent-length: 0\r\n\r\n".encode())
        return True


async def ended(connection: Connection) -> Any:
    reply = Recorded()
    connection.request(connection.reserve(), "test/call", {}, reply)
    end = await reply.end()
    await asyncio.sleep(0)
    assert len(reply.ends) == 1
    return end


@pytest.mark.parametrize("endpoint", ["/post?s=1", "post?s=1", "?s=1", "http://127.0.0.1:{port}/post?s=1"])
async def test_the_endpoint_may_be_written_in_any_way_that_stays_at_home(endpoint: str) -> None:
    server = Server()
    async with raw_server(server.talk, "/sse") as found, sse(found.url, **{"X-Key": "k"}) as connection:
        server.endpoint = endpoint.replace("{port}", found.url.split(":")[2].split("/")[0])
        await connection.open(5)
        assert connection.info.version == "2024-11-05"
        assert {asked.header["x-key"] for asked in found.asked} == {"k"}


@pytest.mark.parametrize(
    "endpoint",
    ["http://evil.example/post", "//evil.example/post", "https://127.0.0.1/post", "http://127.0.0.1:1/post",
     "file:///etc/passwd", "javascript:alert(1)", "/a b", "http://[::1"],
)  # fmt: skip
async def test_an_endpoint_elsewhere_is_refused_and_nothing_is_sent_there(endpoint: str) -> None:
    server = Server(endpoint)
    async with raw_server(server.talk, "/sse") as found, sse(found.url, Authorization="Bearer s3cret") as connection:
        with pytest.raises(GarrisonError) as caught:
            await connection.open(5)
        assert connection.closed in ("its endpoint event points to another origin", "its event stream is malformed")
        assert "s3cret" not in caught.value.message
        assert [asked.verb for asked in found.asked] == ["GET"]


def refusing(status: int, kind: str = "text/plain") -> Callable[[Asked, asyncio.StreamWriter], Awaitable[bool]]:
    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: 2\r\n\r\nno".encode())
        return True

    return talk


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(401, Unavailable, "server.auth_needed"), (404, Invalid, "server.no_endpoint"),
     (302, Invalid, "server.redirected"), (503, Unavailable, "server.unavailable"),
     (200, Unavailable, "server.unreachable")],
)  # fmt: skip
async def test_a_stream_that_is_refused_is_the_error_of_the_handshake(
    status: int, kind: type[GarrisonError], code: str
) -> None:
    async with raw_server(refusing(status), "/sse") as found, sse(found.url) as connection:
        with pytest.raises(kind) as caught:
            await connection.open(5)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("status", "code"), [(404, "server.no_endpoint"), (429, "server.limited"), (500, "server.http_error")]
)
async def test_a_message_that_is_refused_fails_its_request(status: int, code: str) -> None:
    server = Server(status=status)
    async with raw_server(server.talk, "/sse") as found, sse(found.url) as connection:
        await connection.open(5)
        assert (await ended(connection)).code == code
        assert connection.closed is None


async def test_an_answer_may_overtake_the_acknowledgement() -> None:
    class Hasty(Server):
        async def called(self, own: int, writer: asyncio.StreamWriter) -> bool | None:
            self.say({"jsonrpc": "2.0", "id": own, "result": {}})
            await asyncio.sleep(0.05)
            return False  # and the acknowledgement never comes

    server = Hasty()
    async with raw_server(server.talk, "/sse") as found, sse(found.url) as connection:
        await connection.open(5)
        assert isinstance(await ended(connection), Raw)


async def test_a_message_whose_connection_breaks_has_an_unknown_outcome() -> None:
    class Dropping(Server):
        async def called(self, own: int, writer: asyncio.StreamWriter) -> bool | None:
            return False

    server = Dropping()
    async with raw_server(server.talk, "/sse") as found, sse(found.url) as connection:
        await connection.open(5)
        end = await ended(connection)
        assert (type(end), end.code) == (TimedOut, "server.lost")


async def opened(server: Server, found: RawServer, connection: Connection) -> Recorded:
    """An open connection with one request in flight."""
    await connection.open(5)
    reply = Recorded()
    connection.request(connection.reserve(), "test/call", {}, reply)
    await until(lambda: any(b"test/call" in asked.body for asked in found.asked))
    assert server.stream is not None
    return reply


async def test_the_streams_end_is_the_end_of_everything_in_flight() -> None:
    server = Server()
    async with raw_server(server.talk, "/sse") as found, sse(found.url) as connection:
        reply = await opened(server, found, connection)
        assert server.stream is not None
        server.stream.close()
        end = await reply.end()
        assert (type(end), end.code, connection.closed) == (TimedOut, "server.lost", "its event stream ended")


@pytest.mark.parametrize("data", [b"data: garbage\n\n", b"data: " + b"x" * 200_000])
async def test_a_malformed_or_endless_event_ends_the_connection(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENT_BYTES_MAX", 100_000)
    server = Server()
    async with raw_server(server.talk, "/sse") as found, sse(found.url) as connection:
        reply = await opened(server, found, connection)
        assert server.stream is not None
        server.stream.write(data)
        assert (await reply.end()).code == "server.lost"
        assert connection.closed == "its event stream is malformed"


async def test_events_of_other_types_are_nobodys_answer() -> None:
    server = Server()
    async with raw_server(server.talk, "/sse") as found, sse(found.url) as connection:
        reply = await opened(server, found, connection)
        assert server.stream is not None
        server.stream.write(b": ping\n\nevent: heartbeat\ndata: 12:00\n\ndata:\n\n")
        server.say({"jsonrpc": "2.0", "id": 3, "result": {}})
        assert isinstance(await reply.end(), Raw)


async def test_a_stream_without_an_endpoint_ends_with_the_limit_of_the_handshake() -> None:
    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(STREAM + b": nothing\n\n")
        return True

    async with raw_server(talk, "/sse") as found, sse(found.url) as connection:
        with pytest.raises(TimedOut) as caught:
            await connection.open(0.2)
        assert caught.value.code == "server.handshake_timeout"


async def test_nobody_there_is_said_at_once() -> None:
    async with sse("http://127.0.0.1:1/sse") as connection:
        with pytest.raises(Unavailable) as caught:
            await connection.open(5)
        assert caught.value.code == "server.unreachable"
