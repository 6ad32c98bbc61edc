"""What comes back over Streamable HTTP: answers, streams taken up again, the server's own stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from garrison.kernel.errors import GarrisonError, Invalid
from garrison.protocol.events import EventReader
from garrison.protocol.large import LARGE_FROM_BYTES, LargeResult, Pieces
from garrison.protocol.transports.heads import is_event_stream, no_answer
from garrison.protocol.transports.links import Answered, Exchange

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection

BODY_BYTES_MAX = 64 * 1024 * 1024
ERROR_BODY_BYTES_MAX = 256 * 1024
NOTICE_TIMEOUT_S = 10.0
"""How long the acknowledgement of a notification may take before its link is given up."""


class Carrier(Protocol):
    """The transport that an answer comes back for."""

    connection: Connection

    def answered(self, request_id: int | None) -> None:
        """Nothing more comes for this request."""

    def keep_session(self, session: str) -> None:
        """The server has named a session."""

    def resume(self, request_id: int | None, events: EventReader) -> bool:
        """Whether the rest of this stream is fetched by another request."""

    def refused(
        self, request_id: int | None, status: int, headers: Mapping[str, str], body: bytes, request: bytes
    ) -> bool:
        """An HTTP error came; False when the request is sent again."""

    def broken(self, request_id: int | None, reason: str, *, sent: bool) -> None:
        """The link broke before the answer was whole."""


class Answer(Exchange):
    """One POST and the HTTP response to it."""

    _status = 0
    _headers: Mapping[str, str] = {}
    _events: EventReader | None = None
    _size = 0
    _large: LargeResult | None = None
    _pieces: Pieces | None = None
    """Where the result goes while it comes; without, the body is collected."""
    _asked = False
    _acknowledged: asyncio.Future[None] | None = None

    def __init__(self, transport: Carrier, request_id: int | None, request: bytes) -> None:
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

    def whole(self, answered: Answered, body: bytes) -> None:
        """By far the most frequent way: a result, in one piece."""
        transport, request_id = self._transport, self._request_id
        if not answered.plain or request_id is None:
            super().whole(answered, body)
            return
        transport.answered(request_id)
        connection = transport.connection
        try:
            if body:
                connection.received(body, request_id)
            if connection.owes(request_id):
                self._fail(no_answer())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fail(_no_message())

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
        if self._large is not None and self._size <= BODY_BYTES_MAX:
            self._pass_on(self._large, chunk)
        elif self._size <= (BODY_BYTES_MAX if self._status < 300 else ERROR_BODY_BYTES_MAX):
            self._body.append(chunk)
            if self._size >= LARGE_FROM_BYTES and not self._asked:
                self._asked = True
                self._begin_large(b"".join(self._body))
        elif self._status >= 300:
            self._body.clear()
            self._give_up()
            self._transport.refused(self._request_id, self._status, self._headers, b"", self.request)
        else:
            self._give_up()
            self._fail(Invalid("server.body_too_large", f"the server's answer is larger than {BODY_BYTES_MAX} bytes"))

    def end(self) -> None:
        self._over()
        if self._large is not None:
            self._end_large(self._large)
        elif self._status >= 300:
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

    def _begin_large(self, first: bytes) -> None:
        """Ask whether the result may be passed on while it comes, where it is one and all is as usual."""
        length = self._headers.get("content-length", "")
        if self._request_id is None or self._status != 200 or (length.isdigit() and int(length) > BODY_BYTES_MAX):
            return
        large = LargeResult.of(first, self._request_id)
        if large is None:
            return
        room = int(length) - large.begins_at if length.isdigit() else None
        self._pieces = self._transport.connection.large(self._request_id, room, self)
        if self._pieces is not None:
            self._large, self._body = large, []
            self._pass_on(large, first[large.begins_at :])

    def _pass_on(self, large: LargeResult, chunk: bytes) -> None:
        assert self._pieces is not None
        try:
            part = large.feed(chunk)
        except Invalid as error:
            self._give_up()
            self._fail(error)
        else:
            if part:
                self._pieces.piece(part)

    def _end_large(self, large: LargeResult) -> None:
        assert self._pieces is not None
        assert self._request_id is not None
        try:
            is_error = large.end()
        except Invalid as error:
            self._fail(error)
        else:
            self._transport.connection.passed(self._request_id, self._pieces, is_error=is_error)

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
            self._fail(_no_message())

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


def _no_message() -> Invalid:
    return Invalid("server.bad_response", "the server's answer is not a JSON-RPC message")


class Resumed(Answer):
    """A GET for the rest of a request's stream. Whatever goes wrong, the request itself had arrived."""

    def whole(self, answered: Answered, body: bytes) -> None:
        Exchange.whole(self, answered, body)

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


class ServerStream:
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
