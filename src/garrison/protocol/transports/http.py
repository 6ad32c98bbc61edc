"""Streamable HTTP, both eras: each message is a POST; its answer is JSON or an event stream.

Legacy servers may also hold a session (`Mcp-Session-Id`) and speak unasked on a GET stream (2025-11-25, transports).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from garrison.kernel.errors import GarrisonError, Invalid, TimedOut, Unavailable
from garrison.protocol.events import EventReader
from garrison.protocol.messages import is_error_response
from garrison.protocol.transports.heads import fixed_headers, is_event_stream, no_answer, status_error
from garrison.protocol.transports.links import Exchange, LinkPool
from garrison.protocol.transports.origin import parse_url
from garrison.protocol.transports.renewal import Renewals, body_of, says_session_lost, session_of

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection
    from garrison.protocol.handshake import ServerInfo

BODY_BYTES_MAX = 64 * 1024 * 1024
ERROR_BODY_BYTES_MAX = 256 * 1024
HEADS_MAX = 1024
HEAD_BYTES_MAX = 4096
STREAM_RETRY_S = (1.0, 2.0, 5.0, 15.0, 30.0)
NOTICE_TIMEOUT_S = 10.0
"""How long the acknowledgement of a notification may take before its link is given up."""
DELIVERY_S = 2.0
RENEWAL_S = 20.0
RESUME_S = (0.1, 1.0, 30.0)
"""Least, usual and longest wait before a stream is taken up again; the server's `retry` decides between the ends."""
_EVENT_ID = re.compile(r"[\x20-\x7e]{1,1024}")
_SESSION_ID = re.compile(r"[\x21-\x7e]{1,1024}")
_STATUS_COUNTS = frozenset({401, 429, 503})
"""Statuses that say more than a JSON-RPC error beside them."""


class HttpTransport:
    """`headers` are the server's own (credentials included); they go out with every request and nowhere else."""

    cancels_by_closing = True

    def __init__(self, url: str, headers: Mapping[str, str], *, label: str) -> None:
        """Raises `Invalid` when the URL or a header cannot be used."""
        self._origin = parse_url(url)
        self._pool = LinkPool(self._origin)
        self._fixed = fixed_headers(self._origin.authority, url, headers)
        self._label = label
        self._connection: Connection | None = None
        self._session = ""
        self._version = ""
        """Of the settled handshake; until then no request carries a session."""
        self._exchanges: dict[int, Exchange] = {}
        self._heads: dict[tuple[object, ...], bytes] = {}
        """Heads of requests by what makes them differ: the same few are sent again and again."""
        self._notices: set[asyncio.Future[None]] = set()
        self._stream: asyncio.Task[None] | None = None
        self._renewals = Renewals(self._renew, self._send_again)

    @property
    def connection(self) -> Connection:
        assert self._connection is not None, "a transport is bound before it sends"
        return self._connection

    def bind(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, frame: bytes, request_id: int | None, headers: Mapping[str, str]) -> None:
        if self._renewals.waiting is not None and request_id is not None and headers:  # a handshake has none
            self._renewals.waiting[request_id] = frame
            return
        answer = _Answer(self, request_id, self._head("POST", headers, len(frame)) + frame)
        self._pool.begin(answer)
        if request_id is not None:
            self._exchanges[request_id] = answer
        else:
            self._notices.add(answer.expect_acknowledgement(self._notices.discard))

    def abandon(self, request_id: int) -> None:
        """Closing the stream is how a modern request is cancelled; for a legacy one it only ends our interest."""
        exchange = self._exchanges.pop(request_id, None)
        if exchange is not None:
            exchange.abort()

    def settled(self, info: ServerInfo) -> None:
        self._version = info.version
        if info.era == "legacy":
            self._stream = asyncio.get_running_loop().create_task(self._listen())
        else:
            self._session = ""

    async def delivered(self) -> None:
        if self._notices:
            await asyncio.wait(self._notices, timeout=DELIVERY_S)

    async def close(self) -> None:
        await self._renewals.close()
        await self._hang_up()
        if self._session and self._version:
            await self._end_session()
        await self._pool.close()

    # ── called by answers ──

    def answered(self, request_id: int | None) -> None:
        if request_id is not None:
            self._exchanges.pop(request_id, None)

    def resume(self, request_id: int | None, events: EventReader) -> bool:
        """A legacy server may end a stream before the answer and have it fetched later (2025-11-25, resumability)."""
        if request_id is None or self._stream is None or not _EVENT_ID.fullmatch(events.last_id):
            return False
        if not self.connection.owes(request_id):
            return False
        headers = {"mcp-protocol-version": self._version, "last-event-id": events.last_id}
        head = self._new_head("GET", headers, self._session) + b"\r\n"
        again = self._exchanges[request_id] = _Resumed(self, request_id, head)
        least, usual, longest = RESUME_S
        wait_s = usual if events.retry_ms is None else min(max(events.retry_ms / 1000, least), longest)
        asyncio.get_running_loop().call_later(wait_s, self._begin_again, request_id, again)
        return True

    def _begin_again(self, request_id: int, again: Exchange) -> None:
        if self.connection.owes(request_id) and not again.aborted:
            self._pool.begin(again)

    def keep_session(self, session: str) -> None:
        """The handshake's answers name the session; later ones cannot change it."""
        if not self._version and _SESSION_ID.fullmatch(session):
            self._session = session

    def refused(
        self, request_id: int | None, status: int, headers: Mapping[str, str], body: bytes, request: bytes
    ) -> bool:
        """An HTTP error: a lost session (then the request is sent again in another: False), its body, or its status."""
        session = session_of(request)
        if session and says_session_lost(status, body, request_id):
            self._renewals.lost(self.connection, request_id, body_of(request), present=session == self._session)
            return False
        if request_id is None:
            return True
        if status not in _STATUS_COUNTS and is_error_response(body):
            self.connection.received(body, request_id)
        else:
            self.connection.failed(request_id, status_error(self._label, status, headers))
        return True

    def broken(self, request_id: int | None, reason: str, *, sent: bool) -> None:
        if sent and request_id is not None:
            message = f"server {self._label} broke off before it answered ({reason}); the outcome is unknown"
            self.connection.failed(request_id, TimedOut("server.lost", message, "check what the call did"))
        elif not sent:
            if request_id is not None:
                hint = "is it running, and is the URL right?"
                error = Unavailable("server.unreachable", f"server {self._label} cannot be reached: {reason}", hint)
                self.connection.failed(request_id, error)
            if not self._exchanges:  # calls that are being answered show that it lives
                self.connection.lost(f"cannot be reached: {reason}")

    # ── inside ──

    async def _renew(self) -> None:
        """Another session; of the former one nothing counts."""
        await self._hang_up()
        self._session = self._version = ""
        await self.connection.renew(RENEWAL_S)

    def _send_again(self, request_id: int, frame: bytes) -> None:
        self.send(frame, request_id, {"mcp-protocol-version": self._version})

    async def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            await asyncio.wait({self._stream})
            self._stream = None

    def _head(self, verb: str, headers: Mapping[str, str], length: int) -> bytes:
        session = self._session if self._version else ""
        key = (verb, session, *headers.items())
        head = self._heads.get(key) or self._new_head(verb, headers, session)
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        if len(head) <= HEAD_BYTES_MAX:
            self._heads[key] = head
        return head + (b"content-length: %d\r\n\r\n" % length if verb == "POST" else b"\r\n")

    def _new_head(self, verb: str, headers: Mapping[str, str], session: str) -> bytes:
        """Everything but the length and the empty line at the end."""
        lines = [f"{verb} {self._origin.target} HTTP/1.1\r\n", self._fixed]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        if session:
            lines.append(f"mcp-session-id: {session}\r\n")
        if verb == "POST":
            lines.append("content-type: application/json\r\n")
        accept = "text/event-stream" if verb == "GET" else "application/json, text/event-stream"
        lines.append(f"accept: {accept}\r\n")
        return "".join(lines).encode("latin-1")

    async def _listen(self) -> None:
        """Hold the GET stream open, if the server has one."""
        await self.delivered()
        attempt, had_one = 0, False
        while True:
            status = await self._listen_once()
            had_one = had_one or status == 200
            if status == 404 and had_one:
                self._renewals.lost(self.connection, None, b"", present=True)
            if status and status != 200 and status < 500:
                return  # it offers no such stream
            attempt = 0 if status == 200 else attempt + 1
            await asyncio.sleep(STREAM_RETRY_S[min(attempt, len(STREAM_RETRY_S) - 1)])

    async def _listen_once(self) -> int:
        exchange, ended = self._bodiless("GET")
        try:
            return await ended
        finally:
            exchange.abort()

    async def _end_session(self) -> None:
        exchange, ended = self._bodiless("DELETE")
        await asyncio.wait({ended}, timeout=1.0)
        exchange.abort()

    def _bodiless(self, verb: str) -> tuple[Exchange, asyncio.Future[int]]:
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        head = self._head(verb, {"mcp-protocol-version": self._version}, 0)
        return self._pool.send(head, _ServerStream(self.connection, ended)), ended


class _Answer(Exchange):
    """One POST and the HTTP response to it."""

    _status = 0
    _headers: Mapping[str, str] = {}
    _events: EventReader | None = None
    _size = 0
    _acknowledged: asyncio.Future[None] | None = None

    def __init__(self, transport: HttpTransport, request_id: int | None, request: bytes) -> None:
        self.request = request
        self._transport = transport
        self._request_id = request_id

    def expect_acknowledgement(self, done: Callable[[asyncio.Future[None]], None]) -> asyncio.Future[None]:
        """For a message that gets no answer: a future of its acknowledgement, which must come in time."""
        loop = asyncio.get_running_loop()
        self._acknowledged = loop.create_future()
        deadline = loop.call_later(NOTICE_TIMEOUT_S, self._give_up)
        self._acknowledged.add_done_callback(lambda _: deadline.cancel())
        self._acknowledged.add_done_callback(done)
        return self._acknowledged

    def whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """By far the most frequent way: a result, in one piece."""
        if self._acknowledged is not None or self._request_id is None or is_event_stream(headers):
            super().whole(status, headers, body)
            return
        if "mcp-session-id" in headers:
            self._transport.keep_session(headers["mcp-session-id"])
        connection = self._transport.connection
        self._transport.answered(self._request_id)
        if body:
            self._receive(body)
        if connection.owes(self._request_id):
            self._fail(no_answer())

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status, self._headers = status, headers
        self._body: list[bytes] = []
        if "mcp-session-id" in headers and status < 300:
            self._transport.keep_session(headers["mcp-session-id"])
        if is_event_stream(headers) and status < 300:
            self._events = EventReader()
            if self._request_id is not None:
                self._transport.connection.streaming(self._request_id)

    def data(self, chunk: bytes) -> None:
        if self._events is not None:
            self._read_events(self._events, chunk)
            return
        self._size += len(chunk)
        if self._size <= (BODY_BYTES_MAX if self._status < 300 else ERROR_BODY_BYTES_MAX):
            self._body.append(chunk)
        elif self._status >= 300:
            self._body.clear()
            self._give_up()
            self._transport.refused(self._request_id, self._status, self._headers, b"", self.request)
        else:
            self._give_up()
            self._fail(Invalid("server.body_too_large", f"the server's answer is larger than {BODY_BYTES_MAX} bytes"))

    def end(self) -> None:
        self._over()
        if self._status >= 300:
            body = b"".join(self._body)
            if not self._transport.refused(self._request_id, self._status, self._headers, body, self.request):
                return
        elif self._events is None and self._body:
            self._receive(b"".join(self._body))
        elif self._events is not None and self._transport.resume(self._request_id, self._events):
            return
        self._fail(no_answer())  # no effect where the answer has come

    def broken(self, reason: str, *, sent: bool) -> None:
        self._over()
        self._transport.broken(self._request_id, reason, sent=sent)

    def _read_events(self, events: EventReader, chunk: bytes) -> None:
        try:
            for event in events.feed(chunk):
                if event.type == "message" and event.data:  # an empty one only carries an id (2025-11-25)
                    self._receive(event.data)
        except Invalid as error:
            self._give_up()
            self._fail(error)

    def _receive(self, data: bytes) -> None:
        try:
            self._transport.connection.received(data, self._request_id)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fail(Invalid("server.bad_response", "the server's answer is not a JSON-RPC message"))

    def _give_up(self) -> None:
        """Read no further."""
        self.abort()
        self._over()

    def _over(self) -> None:
        self._transport.answered(self._request_id)
        if self._acknowledged is not None and not self._acknowledged.done():
            self._acknowledged.set_result(None)

    def _fail(self, error: GarrisonError) -> None:
        if self._request_id is not None:
            self._transport.connection.failed(self._request_id, error)


class _Resumed(_Answer):
    """A GET for the rest of a request's stream. Whatever goes wrong, the request itself had arrived."""

    def whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        Exchange.whole(self, status, headers, body)

    def data(self, chunk: bytes) -> None:
        super().data(chunk)
        if self._request_id is not None and not self._transport.connection.owes(self._request_id):
            self._give_up()  # a server may hold such a stream open for more

    def end(self) -> None:
        if self._status < 300:
            super().end()
        else:
            self._over()
            self._fail(no_answer())

    def broken(self, reason: str, *, sent: bool) -> None:
        super().broken(reason, sent=True)


class _ServerStream:
    """A response whose events belong to no request; `ended` gets its HTTP status, 0 when the connection broke."""

    def __init__(self, connection: Connection, ended: asyncio.Future[int]) -> None:
        self._connection = connection
        self._ended = ended
        self._status = 0
        self._events = EventReader()

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        if status != 200 or not is_event_stream(headers):
            self._finish(405 if status == 200 else status)

    def data(self, chunk: bytes) -> None:
        if self._ended.done():
            return
        try:
            for event in self._events.feed(chunk):
                if event.type == "message" and event.data:
                    self._connection.received(event.data, None)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Invalid):
            self._finish(0)

    def end(self) -> None:
        self._finish(self._status)

    def broken(self, reason: str, *, sent: bool) -> None:
        self._finish(0)

    def _finish(self, status: int) -> None:
        if not self._ended.done():
            self._ended.set_result(status)
