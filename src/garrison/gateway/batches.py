"""Batches: several messages in one POST, which only revision 2025-03-26 knows. Each element is a call of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from garrison.gateway.call import Call, HttpRequest, Sink
from garrison.gateway.heads import reading_of
from garrison.gateway.outbound import JSON
from garrison.gateway.refusals import ProtocolError
from garrison.gateway.sessions import Sessions
from garrison.protocol import codes, methods
from garrison.protocol.messages import decode_message

VERSION = "2025-03-26"
ELEMENTS_MAX = 100

_decode_elements = msgspec.json.Decoder(list[Raw]).decode
_WHITE = b" \t\r\n"


def elements_of(call: Call, sessions: Sessions) -> list[bytes]:
    """The messages of a batch that may be served; else none, with the reason in `call.problem` where it is another."""
    reading = reading_of(call.request.head)
    if reading.verb_method or reading.problem is not None or bytes(call.request.body[:64]).lstrip(_WHITE)[:1] != b"[":
        return []
    session = sessions.open(reading.session) if reading.session else None
    if session is None or session.version != VERSION or reading.version not in ("", VERSION):
        return []
    try:
        return _checked(call.request.body)
    except ProtocolError as error:
        call.problem = error
        return []


def _checked(body: bytes | bytearray) -> list[bytes]:
    try:
        elements = [bytes(element) for element in _decode_elements(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("protocol.json", "Parse error: the body is not valid JSON", codes.PARSE_ERROR) from None
    if not elements or len(elements) > ELEMENTS_MAX:
        why = f"a batch holds 1 to {ELEMENTS_MAX} messages"
        raise ProtocolError("protocol.batch", why, codes.INVALID_REQUEST)
    if any(_opens_session(element) for element in elements):
        raise ProtocolError("protocol.batch", "initialize cannot be part of a batch", codes.INVALID_REQUEST)
    return elements


def _opens_session(element: bytes) -> bool:
    try:
        return decode_message(element).method == methods.INITIALIZE
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False  # it will be refused as a call of its own


class Batch:
    """Collects the answers: one array when all are there, or a stream from the first message that cannot wait."""

    def __init__(self, sink: Sink, size: int) -> None:
        self._sink = sink
        self._left = size
        self._answers: list[tuple[int, bytes, Mapping[str, str]]] = []
        self._streaming = False
        self._on_disconnect: list[Callable[[], None]] = []
        sink.on_disconnect(self._disconnected)

    def part(self) -> Part:
        """The sink of one element."""
        return Part(self)

    # ── called by parts ──

    def answered(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        if body and self._streaming:
            self._sink.event(body)
        elif body:
            self._answers.append((status, body, headers))
        self._left -= 1
        if not self._left:
            self._end()

    def stream(self, headers: Mapping[str, str]) -> None:
        if not self._streaming:
            self._streaming = True
            self._sink.open_stream(headers)
            for _, body, _ in self._answers:
                self._sink.event(body)

    def event(self, frame: bytes) -> None:
        self._sink.event(frame)

    def when_disconnected(self, callback: Callable[[], None]) -> None:
        self._on_disconnect.append(callback)

    # ── inside ──

    def _end(self) -> None:
        if self._streaming:
            self._sink.end_stream()
        elif not self._answers:
            self._sink.respond(202, b"", {})
        else:
            statuses = {status for status, _, _ in self._answers}
            status, _, headers = self._answers[0]
            if len(statuses) > 1 or status < 400:
                status, headers = 200, JSON  # one bad element does not spoil the others
            self._sink.respond(status, b"[" + b",".join(body for _, body, _ in self._answers) + b"]", headers)

    def _disconnected(self) -> None:
        for callback in self._on_disconnect:
            callback()


class Part:
    """Where one element's answer goes."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._batch.answered(status, body, headers)

    def open_stream(self, headers: Mapping[str, str]) -> None:
        self._batch.stream(headers)

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        self._batch.event(frame)

    def end_stream(self) -> None:
        self._batch.answered(200, b"", {})

    def keep_alive_comment(self) -> None:
        """Elements are no idle streams."""

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        self._batch.when_disconnected(callback)


def request_of(request: HttpRequest, element: bytes) -> HttpRequest:
    """One element as if it had been posted alone."""
    return HttpRequest(request.head, element, request.client, request.certificate)
