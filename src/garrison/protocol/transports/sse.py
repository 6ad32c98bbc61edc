"""HTTP+SSE of 2024-11-05: a GET stream names the endpoint that takes the POSTs; all answers come on the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import msgspec

from garrison.kernel.errors import GarrisonError, Invalid, TimedOut, Unavailable
from garrison.protocol.events import EventReader
from garrison.protocol.headers import Headers
from garrison.protocol.transports.credentials import HEADER, Challenge, Credential, Showing
from garrison.protocol.transports.heads import fixed_headers, is_event_stream, status_error
from garrison.protocol.transports.links import Exchange, LinkPool
from garrison.protocol.transports.origin import Origin, parse_url
from garrison.protocol.transports.outbound import Way

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection
    from garrison.protocol.handshake import ServerInfo

POST_TIMEOUT_S = 30.0
"""How long the acknowledgement of a message may take before its link is given up."""
DELIVERY_S = 2.0
_NO_HEADERS = Headers()


class SseTransport:
    """`url` is the stream's; frames that are sent before the endpoint is known wait for it."""

    cancels_by_closing = False

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        label: str,
        way: Way | None = None,
        credential: Credential | None = None,
    ) -> None:
        """Raises `Invalid` when the URL or a header cannot be used. `way`: how far its name may lead."""
        self._url = url
        self._origin = parse_url(url)
        self._pool = LinkPool(self._origin, way=way)
        self._fixed = fixed_headers(self._origin.authority, url, headers, without=HEADER if credential else "")
        self._credential = credential
        self._renewing: asyncio.Task[bool] | None = None
        self._label = label
        self._connection: Connection | None = None
        self._target = ""
        self._early: list[tuple[bytes, int | None]] = []
        self._stream: Exchange | None = None
        self._posts: set[asyncio.Future[None]] = set()

    @property
    def connection(self) -> Connection:
        assert self._connection is not None, "a transport is bound before it sends"
        return self._connection

    def bind(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, frame: bytes, request_id: int | None, headers: Headers) -> None:
        if self._stream is None:
            head = f"GET {self._origin.target} HTTP/1.1\r\n{self._lines()}accept: text/event-stream\r\n\r\n"
            self._stream = self._pool.send(head.encode("latin-1"), _Stream(self))
        if not self._target:
            self._early.append((frame, request_id))
            return
        head = f"POST {self._target} HTTP/1.1\r\n{self._lines()}content-type: application/json\r\n"
        post = _Post(self, request_id)
        exchange = self._pool.send(f"{head}content-length: {len(frame)}\r\n\r\n".encode("latin-1") + frame, post)
        self._posts.add(post.expect_acknowledgement(exchange, self._posts.discard))

    def abandon(self, request_id: int) -> None:
        """Answers share one stream: a late one finds nobody waiting. What has not left need not leave."""
        self._early = [each for each in self._early if each[1] != request_id]

    def settled(self, info: ServerInfo) -> None:
        """This transport has no headers that depend on the revision."""

    async def delivered(self) -> None:
        if self._posts:
            await asyncio.wait(self._posts, timeout=DELIVERY_S)

    async def close(self) -> None:
        if self._renewing is not None:
            await asyncio.wait({self._renewing}, timeout=DELIVERY_S)
            self._renewing.cancel()
        await self._pool.close()

    # ── called by the stream and the posts ──

    def found_endpoint(self, reference: str) -> None:
        """The `endpoint` event. It must stay on the stream's own origin (credentials go nowhere else)."""
        try:
            endpoint = parse_url(urljoin(self._url, reference))
        except ValueError:  # urljoin's own
            raise Invalid("url.invalid", "the endpoint's URL cannot be read") from None
        if not _same_place(endpoint, self._origin):
            self.lost("its endpoint event points to another origin")
            return
        self._target = endpoint.target
        early, self._early = self._early, []
        for frame, request_id in early:
            self.send(frame, request_id, _NO_HEADERS)

    def no_stream(self, status: int, headers: Mapping[str, str]) -> None:
        """The GET was answered with something else."""
        self.refused(status, headers)
        if status >= 300:
            self.lost(f"no event stream at its URL (HTTP {status})", status_error(self._label, status, headers))
        else:
            self.lost("its URL answers, but not with an event stream")

    def refused(self, status: int, headers: Mapping[str, str]) -> None:
        """What was shown may be no good any more: then the next request shows something else."""
        challenge = Challenge(status, headers.get("www-authenticate", ""))
        credential = self._credential
        if credential is not None and self._renewing is None and credential.can_help(challenge):
            showing = Showing(credential, lambda request_id, request: None)
            self._renewing = asyncio.ensure_future(showing.another(credential.line, challenge))
            self._renewing.add_done_callback(self._renewed)

    def _renewed(self, task: asyncio.Task[bool]) -> None:
        self._renewing = None

    def _lines(self) -> str:
        return self._fixed + (self._credential.line if self._credential is not None else "")

    def lost(self, reason: str, error: GarrisonError | None = None) -> None:
        """The stream is gone; what never left fails as such, and `error` says it better where there is one."""
        early, self._early = self._early, []
        unsent = error or Unavailable("server.unreachable", f"server {self._label} cannot be reached: {reason}")
        for _, request_id in early:
            if request_id is not None:
                self.connection.failed(request_id, unsent)
        self.connection.lost(reason)


class _Stream:
    """The response that carries everything the server says."""

    def __init__(self, transport: SseTransport) -> None:
        self._transport = transport
        self._events: EventReader | None = None

    def head(self, status: int, headers: dict[str, str]) -> None:
        if status == 200 and is_event_stream(headers):
            self._events = EventReader()
        else:
            self._transport.no_stream(status, headers)

    def data(self, chunk: bytes) -> None:
        if self._events is None:
            return
        try:
            for event in self._events.feed(chunk):
                if event.type == "endpoint":
                    self._transport.found_endpoint(event.data.decode())
                elif event.type == "message" and event.data:
                    self._transport.connection.received(event.data, None)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Invalid):
            self._events = None
            self._transport.lost("its event stream is malformed")

    def end(self) -> None:
        self._transport.lost("its event stream ended")

    def broken(self, reason: str, *, sent: bool) -> None:
        self._transport.lost(reason if sent else f"cannot be reached: {reason}")


class _Post:
    """The acknowledgement of one POST; only a refusal matters."""

    def __init__(self, transport: SseTransport, request_id: int | None) -> None:
        self._transport = transport
        self._request_id = request_id
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def expect_acknowledgement(
        self, exchange: Exchange, done: Callable[[asyncio.Future[None]], None]
    ) -> asyncio.Future[None]:
        """A future of the acknowledgement, which must come in time; the answer itself comes on the stream."""
        deadline = asyncio.get_running_loop().call_later(POST_TIMEOUT_S, self._give_up, exchange)
        self._acknowledged.add_done_callback(lambda _: deadline.cancel())
        self._acknowledged.add_done_callback(done)
        return self._acknowledged

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status, self._headers = status, headers

    def data(self, chunk: bytes) -> None:
        """The acknowledgement's text says nothing."""

    def end(self) -> None:
        self._over()
        if self._status >= 300:
            self._transport.refused(self._status, self._headers)
            self._fail(status_error(self._transport.connection.label, self._status, self._headers))

    def broken(self, reason: str, *, sent: bool) -> None:
        self._over()
        label = self._transport.connection.label
        if sent:
            message = f"server {label} broke off while it took a message ({reason}); the outcome is unknown"
            self._fail(TimedOut("server.lost", message, "check what the call did"))
        else:
            self._fail(Unavailable("server.unreachable", f"server {label} cannot be reached: {reason}"))

    def _give_up(self, exchange: Exchange) -> None:
        exchange.abort()
        self._over()

    def _over(self) -> None:
        if not self._acknowledged.done():
            self._acknowledged.set_result(None)

    def _fail(self, error: GarrisonError) -> None:
        if self._request_id is not None:
            self._transport.connection.failed(self._request_id, error)


def _same_place(one: Origin, other: Origin) -> bool:
    return (one.host, one.port, one.tls) == (other.host, other.port, other.tls)
