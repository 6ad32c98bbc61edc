"""How an app reaches its clients: over stdin and stdout, or over Streamable HTTP."""

from __future__ import annotations

import anyio
import uvicorn
from mcp.server.stdio import stdio_server

from garrison.kernel.errors import Denied
from garrison.servers.toolkit.app import App

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve_stdio(app: App) -> None:
    """Serve one client on stdin and stdout until stdin closes."""
    anyio.run(_stdio, app)


async def _stdio(app: App) -> None:
    server = app.server()
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


def serve_http(app: App, host: str, port: int) -> None:
    """Serve many clients on `http://HOST:PORT/mcp` until SIGTERM.

    These servers know no identity, so they listen on loopback addresses only; the gateway is what faces a network.
    """
    if host not in LOOPBACK:
        raise Denied(
            "server.bind_refused",
            f"{app.name} has no authentication and will not listen on {host}.",
            "Listen on 127.0.0.1 and put the gateway in front.",
        )
    web = app.server().streamable_http_app(host=host)
    uvicorn.run(web, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
