"""Streamable HTTP, both eras: each message is a POST; its answer is JSON or an event stream.

Legacy servers may also hold a session (`Mcp-Session-Id`) and speak unasked on a GET stream (2025-11-25, transports).
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import UNSET

from garrison.kernel.errors import GarrisonError, Invalid, Limited, TimedOut, Unavailable
from garrison.protocol.events import EventReader
from garrison.protocol.messages import decode_message
from garrison.protocol.transports.links import Exchange, LinkPool, parse_url

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection
    from garrison.protocol.handshake import ServerInfo

BODY_BYTES_MAX = 64 * 1024 * 1024
STREAM_RETRY_S = (1.0, 2.0, 5.0, 15.0, 30.0)
_SESSION_ID = re.compile(r"[\x21-\x7e]{1,1024}")
_FORBIDDEN = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "accept"})


class HttpTransport:
    """`headers` are the server's own (credentials included); they go out with every request and nowhere else."""

    def __init__(self, url: str, headers: Mapping[str, str], *, label: str) -> None:
        """Raises `Invalid` when the URL or a header cannot be used."""
        self._origin = parse_url(url)
        self._pool = LinkPool(self._origin)
        self._fixed = fixed_headers(self._origin.authority, url, headers)
        self._label = label
        self._connection: Connection | None = None
        self._session = ""
        self._version = ""
        self._exchanges: dict[int, Exchange] = {}
        self._stream: asyncio.Task[None] | None = None

    @property
    def connection(self) -> Connection:
        assert self._connection is not None, "a transport is bound before it sends"
        return self._connection

    def bind(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, frame: bytes, request_id: int | None, headers: Mapping[str, str]) -> None:
        answer = _Answer(self, request_id)
        exchange = self._pool.send(self._head("POST", headers, len(frame)) + frame, answer)
        if request_id is not None:
            self._exchanges[request_id] = exchange

    def abandon(self, request_id: int) -> None:
        """Closing the stream is how a modern request is cancelled; for a legacy one it only ends our interest."""
        exchange = self._exchanges.pop(request_id, None)
        if exchange is not None:
            exchange.abort()

    def settled(self, info: ServerInfo) -> None:
        self._version = info.version
        if info.era == "legacy":
            self._stream = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        if self._session:
            await self._end_session()
        await self._pool.close()

    # ── called by answers ──

    def answered(self, request_id: int | None) -> None:
        if request_id is not None:
            self._exchanges.pop(request_id, None)

    def keep_session(self, session: str) -> None:
        if _SESSION_ID.fullmatch(session):
            self._session = session

    def refused(self, request_id: int | None, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """An HTTP error: a JSON-RPC error in the body counts first, then the status."""
        if request_id is None:
            return
        if self._is_rpc_error(body):
            self.connection.received(body, request_id)
        elif status == 404 and self._session:
            self.connection.lost("its session has ended")
        else:
            self.connection.failed(request_id, self._status_error(status, headers))

    def broken(self, request_id: int | None, reason: str, *, sent: bool) -> None:
        if sent and request_id is not None:
            message = f"server {self._label} broke off before it answered ({reason}); the outcome is unknown"
            self.connection.failed(request_id, TimedOut("server.lost", message, "check what the call did"))
        elif not sent:
            if request_id is not None:
                hint = "is it running, and is the URL right?"
                error = Unavailable("server.unreachable", f"server {self._label} cannot be reached: {reason}", hint)
                self.connection.failed(request_id, error)
            self.connection.lost(f"cannot be reached: {reason}")

    # ── inside ──

    def _head(self, verb: str, headers: Mapping[str, str], length: int) -> bytes:
        lines = [f"{verb} {self._origin.target} HTTP/1.1\r\n", self._fixed]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        if self._session:
            lines.append(f"mcp-session-id: {self._session}\r\n")
        if verb == "POST":
            lines.append(f"content-type: application/json\r\ncontent-length: {length}\r\n")
        accept = "text/event-stream" if verb == "GET" else "application/json, text/event-stream"
        lines.append(f"accept: {accept}\r\n\r\n")
        return "".join(lines).encode("latin-1")

    def _is_rpc_error(self, body: bytes) -> bool:
        try:
            return decode_message(body).error is not UNSET
        except (msgspec.MsgspecError, RecursionError):
            return False

    def _status_error(self, status: int, headers: Mapping[str, str]) -> GarrisonError:
        label = self._label
        if status in (401, 403):
            hint = "set its credential under `headers`"
            return Unavailable("server.auth_needed", f"server {label} asks for a credential (HTTP {status})", hint)
        if status == 429:
            retry = headers.get("retry-after", "")
            wait_s = float(retry) if retry.isdigit() else 1.0
            return Limited("server.limited", f"server {label} limits us (HTTP 429)", "try again later", wait_s)
        if 300 <= status < 400:
            hint = "put the final URL into the configuration; redirects are not followed"
            return Invalid("server.redirected", f"server {label} redirects (HTTP {status})", hint)
        if status in (404, 405):
            hint = "is the path of the URL right (often /mcp), or is it an SSE server (transport: sse)?"
            return Invalid("server.no_endpoint", f"server {label} has no MCP endpoint at its URL (HTTP {status})", hint)
        if status == 503:
            return Unavailable("server.unavailable", f"server {label} is not available (HTTP 503)", "try again")
        if status < 500:
            return Invalid("server.http_error", f"server {label} answered HTTP {status}", "see its log")
        return TimedOut("server.http_error", f"server {label} answered HTTP {status}; the outcome is unknown")

    async def _listen(self) -> None:
        """Hold the GET stream open, if the server has one."""
        attempt = 0
        while True:
            ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            headers = {"mcp-protocol-version": self._version}
            exchange = self._pool.send(self._head("GET", headers, 0), _ServerStream(self.connection, ended))
            try:
                status = await ended
            finally:
                if not ended.done() or ended.cancelled():
                    exchange.abort()
            if 400 <= status < 500:
                return  # it offers no such stream
            attempt = 0 if status == 200 else attempt + 1
            await asyncio.sleep(STREAM_RETRY_S[min(attempt, len(STREAM_RETRY_S) - 1)])

    async def _end_session(self) -> None:
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        headers = {"mcp-protocol-version": self._version}
        self._pool.send(self._head("DELETE", headers, 0), _ServerStream(self.connection, ended))
        await asyncio.wait({ended}, timeout=1.0)
        ended.cancel()


class _Answer:
    """The HTTP response to one POST."""

    def __init__(self, transport: HttpTransport, request_id: int | None) -> None:
        self._transport = transport
        self._request_id = request_id
        self._status = 0
        self._headers: dict[str, str] = {}
        self._events: EventReader | None = None
        self._body: list[bytes] = []
        self._size = 0

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status, self._headers = status, headers
        if "mcp-session-id" in headers and status < 300:
            self._transport.keep_session(headers["mcp-session-id"])
        if headers.get("content-type", "").lower().startswith("text/event-stream") and status < 300:
            self._events = EventReader()

    def data(self, chunk: bytes) -> None:
        if self._events is None:
            self._size += len(chunk)
            if self._size <= BODY_BYTES_MAX:
                self._body.append(chunk)
            return
        try:
            for event in self._events.feed(chunk):
                self._receive(event.data)
        except Invalid as error:
            self._fail(error)

    def end(self) -> None:
        self._transport.answered(self._request_id)
        if self._size > BODY_BYTES_MAX:
            self._fail(Invalid("server.body_too_large", f"the server's answer is larger than {BODY_BYTES_MAX} bytes"))
        elif self._status >= 300:
            self._transport.refused(self._request_id, self._status, self._headers, b"".join(self._body))
        elif self._events is None and self._body:
            self._receive(b"".join(self._body))
        if self._request_id is not None:  # no effect where the answer has come
            self._fail(TimedOut("server.no_answer", "the server ended its response without an answer"))

    def broken(self, reason: str, *, sent: bool) -> None:
        self._transport.answered(self._request_id)
        self._transport.broken(self._request_id, reason, sent=sent)

    def _receive(self, data: bytes) -> None:
        try:
            self._transport.connection.received(data, self._request_id)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fail(Invalid("server.bad_response", "the server's answer is not a JSON-RPC message"))

    def _fail(self, error: GarrisonError) -> None:
        if self._request_id is not None:
            self._transport.connection.failed(self._request_id, error)


class _ServerStream:
    """A response whose events belong to no request; `ended` gets its HTTP status, 0 when the connection broke."""

    def __init__(self, connection: Connection, ended: asyncio.Future[int]) -> None:
        self._connection = connection
        self._ended = ended
        self._status = 0
        self._events = EventReader()

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status = status

    def data(self, chunk: bytes) -> None:
        if self._status != 200:
            return
        try:
            for event in self._events.feed(chunk):
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


def fixed_headers(authority: str, url: str, headers: Mapping[str, str]) -> str:
    """The header lines that are the same in every request. Raises `Invalid` when one cannot be sent."""
    lines = [f"host: {authority}\r\n", "user-agent: garrison\r\n"]
    own = {name.lower(): value for name, value in headers.items()}
    parts = urlsplit(url)
    if parts.username is not None and "authorization" not in own:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        own["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    for name, value in own.items():
        if name in _FORBIDDEN:
            continue
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9a-z]+", name) or re.search(r"[^\x20-\x7e\x80-\xff\t]", value):
            raise Invalid("server.bad_header", f"the header {name[:60]!r} cannot be sent as it stands")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines)
