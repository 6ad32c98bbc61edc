"""Raw HTTP/1.1 client connections, kept warm: bytes out, parsed pieces to a sink, no task per exchange."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from time import monotonic
from typing import NamedTuple, Protocol, cast

import httptools

from garrison.kernel.errors import GarrisonError
from garrison.kernel.outbox import Outbox
from garrison.protocol.transports.known_heads import KnownHeads
from garrison.protocol.transports.origin import Origin
from garrison.protocol.transports.outbound import Way, usual_tls, why_not

CLOSE_TIMEOUT_S = 1.0
LINKS_MAX = 256
"""Connections to one origin; further exchanges queue."""
IDLE_S = 4.0
"""A link that rested longer is not used again: many servers close after five seconds, and a call lost to that race
cannot be told from one that took effect."""
HEAD_BYTES_MAX = 64 * 1024
"""Bound of a response's status line and headers."""
KNOWN_BODY_BYTES_MAX = 1024 * 1024
"""Larger answers never come in one piece."""


_LISTED = frozenset({"www-authenticate", "cache-control"})
"""Headers that may come more than once, and mean all together (RFC 9110, 5.3)."""


class Answered(NamedTuple):
    """What a head of an answer says. `plain`: a success with JSON and nothing to be noted from its headers."""

    status: int
    headers: dict[str, str]
    plain: bool


log = logging.getLogger("garrison.protocol")


class Sink(Protocol):
    """Receives one HTTP response: `head`, any `data`, then `end`; or `broken` at any point."""

    def head(self, status: int, headers: dict[str, str]) -> None: ...

    def data(self, chunk: bytes) -> None: ...

    def end(self) -> None: ...

    def broken(self, reason: str, *, sent: bool) -> None:
        """`sent` says whether any byte of the request may have reached the server."""


class Exchange:
    """A request on its way, and what becomes of its answer; `abort` gives it up and closes its link.

    Once answered there is nothing to give up.
    """

    aborted = False
    link: Link | None = None
    """Set while the request is on one."""

    def __init__(self, request: bytes) -> None:
        self.request = request

    def head(self, status: int, headers: dict[str, str]) -> None:
        raise NotImplementedError

    def data(self, chunk: bytes) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def broken(self, reason: str, *, sent: bool) -> None:
        raise NotImplementedError

    def whole(self, answered: Answered, body: bytes) -> None:
        """The answer came in one piece; its headers are shared and must not be changed."""
        self.head(answered.status, answered.headers)
        self.data(body)
        self.end()

    def abort(self) -> None:
        self.aborted = True
        if self.link is not None:
            self.link.close()

    def pause(self) -> None:
        """Take no more of the answer until `resume`."""
        if self.link is not None:
            self.link.pause()

    def resume(self) -> None:
        if self.link is not None:
            self.link.resume()


class _Relayed(Exchange):
    """An exchange whose answer goes to a sink."""

    def __init__(self, request: bytes, sink: Sink) -> None:
        self.request = request
        self.head = sink.head  # type: ignore[method-assign]
        self.data = sink.data  # type: ignore[method-assign]
        self.end = sink.end  # type: ignore[method-assign]
        self.broken = sink.broken  # type: ignore[method-assign]


class Link(asyncio.Protocol):
    """One connection: one exchange at a time, then back to its pool."""

    def __init__(self, pool: LinkPool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        """Made when the answer's first bytes are not a whole answer of a known kind."""
        self._exchange: Exchange | None = None
        self._headers: dict[str, str] = {}
        self._first = b""
        self._head_bytes = 0
        self._headed = self._complete = self._surplus = self._keep = False
        self._paused = False
        self.idle_since = 0.0

    def start(self, exchange: Exchange) -> None:
        assert self._transport is not None
        self._exchange = exchange
        exchange.link = self
        self._parser = None
        self._pool.outbox.put(self._transport, exchange.request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self.usable and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.usable and self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()  # nobody asked: a server that speaks unasked is not HTTP
            return
        if self._parser is None:
            known = self._pool.heads.find(data)
            if known is not None:  # a whole answer like one before: the parser need not see it
                self._exchange = exchange.link = None
                if self.usable:
                    self._pool.returned(self)
                if not exchange.aborted:
                    exchange.whole(known[0], known[1])
                return
            self._begin(data)
        self._parse(data)

    def _begin(self, data: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._first = data
        self._head_bytes = 0
        self._headed = self._complete = self._surplus = self._keep = False

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            log.exception("an answer could not be taken")  # a defect of ours, met while a server's bytes were read
            self._break("its answer could not be taken")
        except httptools.HttpParserError as error:
            self._break(f"it sent no valid HTTP ({type(error).__name__})")
        except httptools.HttpParserUpgrade:
            self._break("it asked for a protocol upgrade")
        else:
            self._progress(len(data))
            self._first = b""

    def _progress(self, size_bytes: int) -> None:
        if self._complete:
            self._finish()
        elif not self._headed:
            self._head_bytes += size_bytes
            if self._head_bytes > HEAD_BYTES_MAX:
                self._break(f"the head of its answer is larger than {HEAD_BYTES_MAX} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        self._pool.dropped(self)
        if exchange is None or exchange.aborted:
            return
        exchange.link = None
        if self._ends_with_connection():
            exchange.end()
        else:
            exchange.broken(f"connection lost: {exc}" if exc else "connection closed", sent=True)

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._headers = {}
        self._surplus = self._complete  # a second response to one request: this link is not to be trusted

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in _LISTED and key in self._headers:
            text = f"{self._headers[key]}, {text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        status = self._status()
        if status < 200 or self._complete:
            return  # an interim response; the real one follows
        self._headed = True
        if self._exchange is not None and not self._exchange.aborted:
            self._exchange.head(status, self._headers)

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None and not self._exchange.aborted and not self._complete:
            self._exchange.data(body)

    def on_message_complete(self) -> None:
        if self._status() >= 200 and not self._complete:
            assert self._parser is not None
            self._complete = True
            self._keep = self._parser.should_keep_alive()  # only here does the parser still know

    def _finish(self) -> None:
        """Outside of the parser's callbacks, because the link may start its next exchange at once."""
        exchange, self._exchange = self._exchange, None
        self.resume()
        if exchange is not None:
            exchange.link = None
        if self.usable and not self._surplus and self._keep:
            if self._first and self._status() == 200:
                self._pool.heads.keep(self._first, _answered(self._headers))
            self._pool.returned(self)
        else:
            self.close()
        if exchange is not None and not exchange.aborted:
            exchange.end()

    def _status(self) -> int:
        return int(self._parser.get_status_code()) if self._parser is not None else 0

    def _ends_with_connection(self) -> bool:
        """A response without length or chunks ends where the connection ends (RFC 9112, 6.3)."""
        if self._parser is None:
            return False  # nothing has come
        framed = "content-length" in self._headers or "chunked" in self._headers.get("transfer-encoding", "").lower()
        return self._headed and not framed

    def _break(self, reason: str) -> None:
        exchange, self._exchange = self._exchange, None
        self.close()
        if exchange is not None and not exchange.aborted:
            exchange.link = None
            exchange.broken(reason, sent=True)


class LinkPool:
    """Warm links to one origin. The newest idle link is used first, so that the surplus goes stale and closes.

    Every new link takes `way`, which judges anew where the origin's name leads.
    """

    def __init__(self, origin: Origin, *, way: Way | None = None, tls_context: ssl.SSLContext | None = None) -> None:
        self._origin = origin
        self._way = way or Way()
        self._tls = (tls_context or usual_tls()) if origin.tls else None
        self._idle: list[Link] = []
        self._links: set[Link] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[Exchange] = deque()
        self._closed = False
        self.outbox = Outbox()
        self._emptied: asyncio.Future[None] | None = None
        self.heads: KnownHeads[Answered] = KnownHeads(KNOWN_BODY_BYTES_MAX)

    def send(self, request: bytes, sink: Sink) -> Exchange:
        """Write a complete request, on a warm link if there is one."""
        exchange = _Relayed(request, sink)
        self.begin(exchange)
        return exchange

    def begin(self, exchange: Exchange) -> None:
        """The same for an exchange that takes its answer itself."""
        if self._closed:
            asyncio.get_running_loop().call_soon(lambda: exchange.broken("closed", sent=False))
            return
        idle = self._idle
        while idle:
            link = idle.pop()
            if link.usable and monotonic() - link.idle_since < IDLE_S:
                link.start(exchange)
                return
            link.close()
        if len(self._links) + len(self._connecting) >= LINKS_MAX:
            self._waiting.append(exchange)
        else:
            self._connect(exchange)

    async def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        for task in tuple(self._connecting):
            task.cancel()
        for link in tuple(self._links):
            link.close()
        if self._connecting:
            await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._links:  # they report that they are gone after a turn or two of the loop
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._emptied}, timeout=CLOSE_TIMEOUT_S)

    def returned(self, link: Link) -> None:
        if self._waiting:
            exchange = self._next()
            if exchange is not None:
                link.start(exchange)
                return
        link.idle_since = monotonic()
        self._idle.append(link)

    def dropped(self, link: Link) -> None:
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        self._connect_next()
        if self._emptied is not None and not self._links and not self._emptied.done():
            self._emptied.set_result(None)

    def _next(self) -> Exchange | None:
        """The next exchange in the queue that is still wanted."""
        while self._waiting:
            exchange = self._waiting.popleft()
            if not exchange.aborted:
                return exchange
        return None

    def _connect_next(self) -> None:
        exchange = self._next()
        if exchange is not None:
            self._connect(exchange)

    def _connect(self, exchange: Exchange) -> None:
        task = asyncio.get_running_loop().create_task(self._open(exchange))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open(self, exchange: Exchange) -> None:
        try:
            link = await self._way.open(lambda: Link(self), self._origin, self._tls)
        except (OSError, TimeoutError, GarrisonError) as error:
            if not exchange.aborted:
                exchange.broken(why_not(error), sent=False)
            self._connect_next()
            return
        if not link.usable:
            if not exchange.aborted:
                exchange.broken("it closes connections at once", sent=False)
            self._connect_next()
            return
        self._links.add(link)
        if exchange.aborted:
            self.returned(link)
        else:
            link.start(exchange)


def _answered(headers: dict[str, str]) -> Answered:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return Answered(200, headers, kind == "application/json" and "mcp-session-id" not in headers)
