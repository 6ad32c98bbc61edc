"""One request and its answer on an MCP endpoint: the gateway's sink, written straight to the client's socket.

It stands where uvicorn expects a request-response cycle, so that keep-alive and pipelining work as for any other.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable, Mapping
from typing import Protocol

from garrison.gateway.call import HttpRequest
from garrison.gateway.heads import Head
from garrison.gateway.outbound import JSON
from garrison.gateway.passage import BodySink
from garrison.identity.principals import Principal
from garrison.kernel.outbox import Outbox
from garrison.protocol.events import write_event
from garrison.protocol.large import Valve
from garrison.surfaces.edge.compression import COMPRESS_FROM_BYTES, compressed, is_worth_it, takes_gzip
from garrison.surfaces.edge.packing import Packer

WRITE_BUFFER_MAX = 16 * 1024 * 1024
"""A client that reads its stream so slowly is cut off."""

_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}


_JSON_START = {status: line + b"content-type: application/json\r\ncontent-length: " for status, line in _STATUS.items()}


class _NoEvent:
    """Stands where uvicorn wakes an ASGI task; here there is none."""

    def set(self) -> None: ...


class Place(Protocol):
    """The connection that an exchange is on."""

    transport: asyncio.Transport
    outbox: Outbox

    def watch(self, valve: Valve | None) -> None:
        """Close this valve whenever the client does not read, from now on; None when there is nothing to hold back."""

    def on_response_complete(self) -> None:
        """The answer has been written, or waits in the outbox."""


class Exchange(HttpRequest, BodySink):
    """`current` when it is this exchange's turn on the connection, `whole` when its body has come.

    It is the request and the sink in one, because one object costs half of two.
    """

    message_event = _NoEvent()
    certificate: Principal | None = None
    current = False
    whole = False
    disconnected = False
    response_complete = False
    _packer: Packer | None = None
    _write_piece: Callable[[bytes], None]
    """For an answer that is written in pieces."""
    _on_disconnect: Callable[[], None] | None = None

    def __init__(self, place: Place, head: Head, body: bytes | bytearray, client: str) -> None:
        self.head = head
        self.body = body
        self.client = client
        self.keep_alive = head.keep_alive
        self._place = place

    def disconnect(self) -> None:
        self.disconnected = True
        callback, self._on_disconnect = self._on_disconnect, None
        if callback is not None and not self.response_complete:
            callback()

    # the gateway's sink

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        if headers is JSON and self.keep_alive and len(body) < COMPRESS_FROM_BYTES:  # nearly always
            if not self.disconnected:
                place = self._place
                place.outbox.put(place.transport, b"%b%d\r\n\r\n%b" % (_JSON_START[status], len(body), body))
                self.response_complete = True
                self._on_disconnect = None
                place.on_response_complete()
            return
        if len(body) >= COMPRESS_FROM_BYTES and is_worth_it(body, headers):
            self._respond_large(status, body, {**headers, "vary": "accept-encoding"})
            return
        if "connection" in headers:  # it says close; our own line will say so
            headers = {name: value for name, value in headers.items() if name != "connection"}
            self.keep_alive = False
        self._respond(status, body, headers)

    def _respond_large(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        if not takes_gzip(self.head.headers.get("accept-encoding", "")):
            self._respond(status, body, headers)
            return
        packed = {**headers, "content-encoding": "gzip"}
        compressed(body, lambda smaller: self._respond(status, smaller, packed))

    def _respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        lines = [_STATUS[status], *_lines(headers), self._connection_line(), b"content-length: "]
        self._answer(b"".join(lines), body)

    def _answer(self, start: bytes, body: bytes) -> None:
        """`start`: the head up to the digits of its length."""
        if self.disconnected:
            return
        shown = b"" if self.head.verb == "HEAD" else body
        self._place.outbox.put(self._place.transport, b"%b%d\r\n\r\n%b" % (start, len(body), shown))
        self._complete()

    def open_stream(self, headers: Mapping[str, str]) -> None:
        if not self.disconnected:
            lines = [
                _STATUS[200],
                *_lines(headers),
                b"transfer-encoding: chunked\r\n",
                self._connection_line(),
                b"\r\n",
            ]
            self._write(b"".join(lines))

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        self._chunk(write_event(frame, kind))

    def keep_alive_comment(self) -> None:
        self._chunk(b": keep-alive\n\n")

    def end_stream(self) -> None:
        if not self.disconnected:
            self._write(b"0\r\n\r\n")
            self._complete()

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        self._on_disconnect = callback

    def open_body(self, size_bytes: int | None, headers: Mapping[str, str], valve: Valve) -> bool:
        """Whoever may speak HTTP/1.0 (it does not keep alive) knows no chunks."""
        packed = takes_gzip(self.head.headers.get("accept-encoding", ""))
        chunked = packed or size_bytes is None
        if self.disconnected or (chunked and not self.keep_alive):
            return False
        self._write_piece = self._write_chunk if chunked else self._write
        headers = {**headers, "vary": "accept-encoding"}
        headers |= {"transfer-encoding": "chunked"} if chunked else {"content-length": str(size_bytes)}
        if packed:
            headers["content-encoding"] = "gzip"
            self._packer = valve = Packer(self._write_chunk, valve)
        self._place.watch(valve)
        self._write(b"".join([_STATUS[200], *_lines(headers), self._connection_line(), b"\r\n"]))
        return True

    def piece(self, data: bytes) -> None:
        (self._write_piece if self._packer is None else self._packer.put)(data)

    def end_body(self) -> None:
        if self._packer is not None:
            self._packer.end(self._end_body)
        else:
            self._end_body()

    def cut(self) -> None:
        self._place.watch(None)
        self._place.transport.abort()

    def _end_body(self) -> None:
        if self.disconnected:
            return
        self._place.watch(None)
        if self._write_piece == self._write_chunk:
            self.end_stream()
        else:
            self._complete()

    # inside

    def _chunk(self, data: bytes) -> None:
        if self.disconnected or self.response_complete:
            return
        self._write_chunk(data)
        if self._place.transport.get_write_buffer_size() > WRITE_BUFFER_MAX:
            self._place.transport.abort()

    def _write_chunk(self, data: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(data), data))

    def _write(self, data: bytes) -> None:
        """At once: whoever listens to a stream waits for each of its parts."""
        self._place.outbox.flush()
        if not self._place.transport.is_closing():
            self._place.transport.write(data)

    def _connection_line(self) -> bytes:
        return b"" if self.keep_alive else b"connection: close\r\n"

    def _complete(self) -> None:
        self.response_complete = True
        self._on_disconnect = None
        if not self.keep_alive:
            self._place.outbox.flush()
            self._place.transport.close()
        self._place.on_response_complete()


def _lines(headers: Mapping[str, str]) -> list[bytes]:
    return [f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items()]
