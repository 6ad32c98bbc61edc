"""How an app reaches its clients: over stdin and stdout, or over Streamable HTTP."""

from __future__ import annotations

import socket
import sys
from typing import Final

import anyio
import uvicorn
from mcp.server.stdio import stdio_server

from garrison.kernel.errors import Denied, Unavailable
from garrison.servers.toolkit.app import App

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
DRAIN_S: Final = 5
"""Seconds that calls in flight have after SIGTERM."""


def serve_stdio(app: App) -> None:
    """Serve one client on stdin and stdout until stdin closes."""
    anyio.run(_stdio, app)


async def _stdio(app: App) -> None:
    server = app.server()
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


def serve_http(app: App, host: str, port: int) -> None:
    """Serve many clients on `http://HOST:PORT/mcp` until SIGTERM; port 0 takes a free one, told on stderr.

    These servers know no identity, so they listen on loopback addresses only; the gateway is what faces a network.
    """
    if host not in LOOPBACK:
        raise Denied(
            "server.bind_refused",
            f"{app.name} has no authentication and will not listen on {host}.",
            "Listen on 127.0.0.1 and put the gateway in front.",
        )
    listener = _listener(host, port)
    web = app.server().streamable_http_app(host=host)
    config = uvicorn.Config(web, log_level="warning", access_log=False, timeout_graceful_shutdown=DRAIN_S)
    with listener:
        shown = f"[{host}]" if ":" in host else host
        sys.stderr.write(f"{app.name} listens at http://{shown}:{listener.getsockname()[1]}/mcp\n")
        uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise Unavailable(
            "server.address_in_use",
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            "Choose another port, or 0 for any.",
        ) from None
