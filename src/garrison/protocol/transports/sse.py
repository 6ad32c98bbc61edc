"""HTTP+SSE of 2024-11-05: a GET stream names the endpoint that takes the POSTs; all answers come on the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import msgspec

from garrison.kernel.errors import Invalid, Unavailable
from garrison.protocol.events import EventReader
from garrison.protocol.transports.http import fixed_headers
from garrison.protocol.transports.links import Exchange, LinkPool, Origin, parse_url

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection
    from garrison.protocol.handshake import ServerInfo


class SseTransport:
    """`url` is the stream's; frames that are sent before the endpoint is known wait for it."""

    def __init__(self, url: str, headers: Mapping[str, str], *, label: str) -> None:
        """Raises `Invalid` when the URL or a header cannot be used."""
        self._url = url
        self._origin = parse_url(url)
        self._pool = LinkPool(self._origin)
        self._fixed = fixed_headers(self._origin.authority, url, headers)
        self._label = label
        self._connection: Connection | None = None
        self._target = ""
        self._early: list[tuple[bytes, int | None]] = []
        self._stream: Exchange | None = None

    @property
    def connection(self) -> Connection:
        assert self._connection is not None, "a transport is bound before it sends"
        return self._connection

    def bind(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, frame: bytes, request_id: int | None, headers: Mapping[str, str]) -> None:
        if self._stream is None:
            head = f"GET {self._origin.target} HTTP/1.1\r\n{self._fixed}accept: text/event-stream\r\n\r\n"
            self._stream = self._pool.send(head.encode("latin-1"), _Stream(self))
        if not self._target:
            self._early.append((frame, request_id))
            return
        head = f"POST {self._target} HTTP/1.1\r\n{self._fixed}content-type: application/json\r\n"
        self._pool.send(
            f"{head}content-length: {len(frame)}\r\n\r\n".encode("latin-1") + frame, _Post(self, request_id)
        )

    def abandon(self, request_id: int) -> None:
        """Answers share one stream; a late one finds nobody waiting."""

    def settled(self, info: ServerInfo) -> None:
        """This transport has no headers that depend on the revision."""

    async def close(self) -> None:
        await self._pool.close()

    def found_endpoint(self, reference: str) -> None:
        """The `endpoint` event. It must stay on the stream's own origin (a server cannot send credentials elsewhere)."""
        endpoint = parse_url(urljoin(self._url, reference))
        if not _same_place(endpoint, self._origin):
            self.connection.lost("its endpoint event points to another origin")
            return
        self._target = endpoint.target
        early, self._early = self._early, []
        for frame, request_id in early:
            self.send(frame, request_id, {})


class _Stream:
    """The response that carries everything the server says."""

    def __init__(self, transport: SseTransport) -> None:
        self._transport = transport
        self._status = 0
        self._events = EventReader()

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        if status != 200 or not headers.get("content-type", "").lower().startswith("text/event-stream"):
            self._transport.connection.lost(f"no event stream at its URL (HTTP {status})")

    def data(self, chunk: bytes) -> None:
        if self._status != 200:
            return
        connection = self._transport.connection
        try:
            for event in self._events.feed(chunk):
                if event.type == "endpoint":
                    self._transport.found_endpoint(event.data.decode())
                else:
                    connection.received(event.data, None)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Invalid):
            connection.lost("its event stream is malformed")

    def end(self) -> None:
        self._transport.connection.lost("its event stream ended")

    def broken(self, reason: str, *, sent: bool) -> None:
        self._transport.connection.lost(reason if sent else f"cannot be reached: {reason}")


class _Post:
    """The acknowledgement of one POST; only a refusal matters."""

    def __init__(self, transport: SseTransport, request_id: int | None) -> None:
        self._transport = transport
        self._request_id = request_id
        self._status = 0

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status = status

    def data(self, chunk: bytes) -> None:
        """The acknowledgement's text says nothing."""

    def end(self) -> None:
        if self._status >= 300:
            self._fail(f"HTTP {self._status}")

    def broken(self, reason: str, *, sent: bool) -> None:
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        if self._request_id is not None:
            connection = self._transport.connection
            error = Unavailable("server.refused_message", f"server {connection.label} did not take a message: {reason}")
            connection.failed(self._request_id, error)


def _same_place(one: Origin, other: Origin) -> bool:
    return (one.host, one.port, one.tls) == (other.host, other.port, other.tls)
