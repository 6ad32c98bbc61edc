"""What every process that serves clients has: the edge on a listening socket, and an end in order."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from garrison.gateway.gateway import Gateway
from garrison.identity.certificates import Certificates
from garrison.kernel import descriptors
from garrison.kernel.clock import SystemClock
from garrison.surfaces.edge.crowd import Crowd
from garrison.surfaces.edge.guard import Guard, hostname
from garrison.surfaces.edge.peers import Witness
from garrison.surfaces.edge.protocol import Handler, protocol_class
from garrison.surfaces.edge.tls import TlsEdge
from garrison.surfaces.setting_groups.edge import EdgeSettings

KEEP_ALIVE_S = 75
HANDSHAKE_S = 10.0
LINGER_S = 2.0
"""How long the end of a TLS connection may take."""
DRAIN_POLL_S = 0.02
LAST_ANSWERS_S = 1
"""What was answered at the end of the drain may take so long to be written."""


class EdgeServer(uvicorn.Server):
    """uvicorn's server, telling its owner when it serves and when the drain begins."""

    def __init__(self, config: uvicorn.Config, serving: Callable[[], None], drain: Callable[[], Awaitable[None]]):
        super().__init__(config)
        self._serving = serving
        self._drain = drain

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the owner's: uvicorn's own handling would end the process before its servers are ended."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        for listener in sockets or ():
            await self.take_over(listener)
        self._serving()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._drain()
        await super().shutdown(sockets)

    async def take_over(self, listener: socket.socket) -> None:
        """Serve on a socket: our own, or one whose process will not come back."""
        make, config = self.config.http_protocol_class, self.config
        state = self.server_state
        further = await asyncio.get_running_loop().create_server(
            lambda: make(config=config, server_state=state, app_state={}),  # type: ignore[call-arg]
            sock=listener,
            backlog=config.backlog,
            ssl=config.ssl,
            ssl_handshake_timeout=HANDSHAKE_S if config.ssl else None,
            ssl_shutdown_timeout=LINGER_S if config.ssl else None,
        )
        self.servers.append(further)

    def asked_to_end(self) -> None:
        """The first signal ends us in order; another one does not wait for calls in flight."""
        self.force_exit = self.should_exit
        self.should_exit = True


def edge_config(
    app: Callable[..., Any],
    handle: Handler,
    edge: EdgeSettings,
    tls: TlsEdge | None = None,
    certificates: Certificates | None = None,
) -> uvicorn.Config:
    """`handle` takes what is for MCP endpoints, `app` all else; `certificates` say whom client certificates name."""
    guard = Guard(
        body_bytes_max=edge.body_bytes_max,
        hosts=frozenset({*(host.lower() for host in edge.hosts), hostname(edge.listen), *_public_host(edge)}),
        origins=frozenset({*(origin.lower() for origin in edge.origins), *_public_origin(edge)}),
    )
    witness = None
    if tls is not None and certificates is not None and edge.client_certificates != "none":
        witness = Witness(tls, certificates, SystemClock().wall_ns)
    room = descriptors.room_for(edge.connections, descriptors.limit())
    return uvicorn.Config(
        app,
        http=protocol_class(handle, guard, Crowd(room, edge.connections_per_address or math.inf), witness),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=LAST_ANSWERS_S,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls.context,
    )


def _public_host(edge: EdgeSettings) -> set[str]:
    return {hostname(urlsplit(edge.public_url).netloc)} if edge.public_url else set()


def _public_origin(edge: EdgeSettings) -> set[str]:
    """Our own pages have forms."""
    parts = urlsplit(edge.public_url)
    return {f"{parts.scheme}://{parts.netloc}".lower()} if edge.public_url else set()


def url_of(listener: socket.socket, edge: EdgeSettings) -> str:
    """How clients on this machine reach a listener."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if edge.tls_certificate else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def public_url_of(url: str, edge: EdgeSettings) -> str:
    """How clients elsewhere reach us, where that is not `url` itself: all addresses at once are nobody's URL."""
    if edge.public_url or not edge.hosts or urlsplit(url).hostname not in ("0.0.0.0", "::"):  # noqa: S104  compared
        return edge.public_url
    parts = urlsplit(url)
    return f"{parts.scheme}://{edge.hosts[0]}:{parts.port}"


async def drained(gateway: Gateway, server: EdgeServer, limit_s: float, elsewhere: Callable[[], int]) -> None:
    """The end was asked for: not ready any more, and no new calls; those in flight may finish within the limit.

    `elsewhere`: how many requests of clients here are being served by other workers; their answers come through us.
    The listener stays open meanwhile, so that whoever comes is told so.
    """
    clock = SystemClock()
    gateway.drain()
    deadline_s = clock.monotonic_s() + limit_s
    while (gateway.shed.in_flight or elsewhere()) and clock.monotonic_s() < deadline_s:
        if server.force_exit:
            break
        await asyncio.sleep(DRAIN_POLL_S)
    gateway.in_flight.cancel_all("the gateway is shutting down")
