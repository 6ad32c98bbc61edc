"""A server that has lost our session: one other handshake, and nothing is lost and nothing done twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.errors import Unavailable
from garrison.protocol.connection import Connection
from garrison.protocol.transports import renewal
from garrison.protocol.transports.renewal import body_of, says_session_lost, session_of
from protocol.peers import Asked, Recorded, http, raw_server, until
from protocol.test_http_misbehaving import HELLO, ended, plain, result


def refusal(message: str, own: object = None, code: int = -32000) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": own, "error": {"code": code, "message": message}}).encode()


GONE = plain(404, refusal("Session not found", code=-32001))


@dataclass
class Forgetful:
    """A legacy server that knows only `known`; `refuses` is what it says to other sessions."""

    refuses: bytes = GONE
    known: str = ""
    begun: int = 0
    done: list[str] = field(default_factory=list)
    """Session and method of what it did."""
    willing: Callable[[], bool] = lambda: True
    open: asyncio.Event | None = None
    """Handshakes wait for it."""

    async def talk(self, asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        message = json.loads(asked.body or b"{}")
        method = message.get("method", asked.verb)
        session = asked.header.get("mcp-session-id", "")
        if method == "server/discover":
            writer.write(plain(400, "no"))
        elif method == "initialize":
            if self.open is not None:
                await self.open.wait()
            writer.write(self._begin(message["id"]))
        elif session != self.known:
            writer.write(self.refuses)
        elif method == "test/call":
            self.done.append(session)
            writer.write(plain(200, result(message["id"], said=session)))
        else:
            self.done.append(f"{session} {method}")
            writer.write(plain(405 if asked.verb == "GET" else 202))
        return True

    def _begin(self, own: int) -> bytes:
        if not self.willing():
            return plain(503, "busy")
        self.begun += 1
        self.known = f"s{self.begun}"
        return plain(200, result(own, **HELLO), f"mcp-session-id: {self.known}")


@asynccontextmanager
async def connected(server: Forgetful) -> AsyncIterator[Connection]:
    async with raw_server(server.talk) as raw, http(raw.url) as connection:
        await connection.open(10)
        yield connection


NOT_THERE = [
    GONE,
    plain(404, "nothing here"),
    plain(404, refusal("Session not found", "server-error", -32600)),
    plain(400, refusal("Bad Request: No valid session ID provided")),
    plain(400, refusal("Session expired", "server-error")),
]


@pytest.mark.parametrize("refuses", NOT_THERE)
async def test_a_lost_session_is_replaced_and_the_call_that_noticed_is_answered(refuses: bytes) -> None:
    server = Forgetful(refuses)
    async with connected(server) as connection:
        server.known = "none"
        assert bytes(await connection.ask("test/call")) == b'{"said": "s2"}'
        assert (server.begun, connection.closed) == (2, None)
        assert server.done.count("s2") == 1
        assert server.done.index("s2 notifications/initialized") < server.done.index("s2")


async def test_however_many_calls_notice_there_is_one_handshake_and_each_call_is_done_once() -> None:
    server = Forgetful()
    async with connected(server) as connection:
        renewed: list[None] = []
        connection.on_renewed(lambda: renewed.append(None))
        server.known = "none"
        answers = await asyncio.gather(*(connection.ask("test/call") for _ in range(40)))
        assert {bytes(answer) for answer in answers} == {b'{"said": "s2"}'}
        assert (server.begun, server.done.count("s2"), len(renewed)) == (2, 40, 1)


async def test_a_session_that_is_lost_again_at_once_ends_the_connection_with_a_clear_error() -> None:
    server = Forgetful()
    async with connected(server) as connection:
        server.known = "none"
        await connection.ask("test/call")
        server.known = "none"
        end = await ended(connection)
        assert isinstance(end, Unavailable)
        assert (end.code, connection.closed) == ("server.session_lost", "its session has ended")
        assert server.begun == 2


async def test_a_session_that_is_lost_again_later_is_replaced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "AGAIN_S", 0.0)
    server = Forgetful()
    async with connected(server) as connection:
        for number in (2, 3, 4):
            server.known = "none"
            assert bytes(await connection.ask("test/call")) == b'{"said": "s%d"}' % number


async def test_a_call_is_sent_again_once_only_however_often_its_session_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewal, "AGAIN_S", 0.0)
    server = Forgetful()
    async with connected(server) as connection:
        server.known = "none"
        begin = server._begin

        def begin_and_forget(own: int) -> bytes:
            answer = begin(own)
            server.known = "none"
            return answer

        server._begin = begin_and_forget  # type: ignore[method-assign]
        end = await ended(connection)
        assert (end.code, server.done.count("none")) == ("server.session_lost", 0)


async def test_a_server_that_gives_no_other_session_fails_all_that_waited_with_a_clear_error() -> None:
    server = Forgetful()
    async with connected(server) as connection:
        server.known, server.willing = "none", lambda: False
        replies = [Recorded() for _ in range(5)]
        for reply in replies:
            connection.request(connection.reserve(), "test/call", {}, reply)
        ends = [await reply.end() for reply in replies]
        assert {end.code for end in ends} == {"server.session_lost"}
        assert all("503" in end.message or "not available" in end.message for end in ends)
        assert connection.closed == "its session has ended"
        assert [len(reply.ends) for reply in replies] == [1] * 5


async def test_a_call_that_was_given_up_while_it_waited_is_not_sent() -> None:
    server = Forgetful()
    async with connected(server) as connection:
        server.known, server.open = "none", asyncio.Event()
        kept, given_up = Recorded(), Recorded()
        connection.request(connection.reserve(), "test/call", {}, kept)
        own = connection.reserve()
        connection.request(own, "test/call", {}, given_up)
        renewals = connection._transport._renewals  # type: ignore[attr-defined]
        await until(lambda: renewals.waiting is not None)
        connection.cancel(own)
        server.open.set()
        await kept.end()
        assert (given_up.ends, server.done.count("s2")) == ([], 1)


async def test_closing_while_another_session_is_sought_leaves_nothing() -> None:
    server = Forgetful()
    async with connected(server) as connection:
        server.known, server.open = "none", asyncio.Event()
        reply = Recorded()
        connection.request(connection.reserve(), "test/call", {}, reply)
        await until(lambda: connection._transport._renewals.waiting is not None)  # type: ignore[attr-defined]
        await connection.close()
        assert len(reply.ends) == 1


OTHER_ANSWERS: list[tuple[int, Any]] = [
    (400, refusal("Session name is missing", 7)),  # the server's answer to this very request
    (400, refusal("Invalid session id in arguments", 7)),
    (400, refusal("Bad Request: Server not initialized")),
    (400, b"no valid session"),
    (400, b"{}"),
    (404, refusal("Method not found", 7, -32601)),
    (500, refusal("Session not found")),
    (401, refusal("Session not found")),
]


@pytest.mark.parametrize(("status", "body"), OTHER_ANSWERS)
def test_what_says_something_else_is_no_lost_session(status: int, body: bytes) -> None:
    assert not says_session_lost(status, body, 7)


@given(st.integers(100, 599), st.binary(max_size=200), st.none() | st.integers(0, 99))
def test_any_answer_can_be_judged(status: int, body: bytes, own: int | None) -> None:
    assert says_session_lost(status, body, own) in (True, False)
    if says_session_lost(status, body, own):
        assert status in (400, 404)


@given(st.binary())
def test_a_session_is_read_from_the_head_alone(body: bytes) -> None:
    head = b"POST /mcp HTTP/1.1\r\nhost: x\r\n"
    assert session_of(head + b"\r\n" + body) == ""
    assert session_of(head + b"\r\nmcp-session-id: b\r\n" + body) == ""
    request = head + b"mcp-session-id: a\r\ncontent-length: 1\r\n\r\n" + body
    assert (session_of(request), body_of(request)) == ("a", body)
