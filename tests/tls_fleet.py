"""A running fleet's edge with TLS, on this event loop: certificates made for the test, a listener of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from garrison.identity.certificates import Certificates
from garrison.surfaces.edge.tls import TlsEdge, TlsFiles
from garrison.surfaces.issuing import Issued, new_authority, new_client, new_server
from garrison.surfaces.node_tls import end_untrusted
from garrison.surfaces.serving import EdgeServer, edge_config
from garrison.surfaces.setting_groups.edge import EdgeSettings
from running_fleet import Running

DAY = timedelta(days=1)


@dataclass
class Paths:
    """A folder with `ca`, `server`, `client`, `stranger` and more, each as NAME.pem and NAME.key."""

    folder: Path
    authority: Issued

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def write(self, name: str, issued: Issued) -> None:
        key = self.folder / f"{name}.key"
        key.touch(0o600)
        key.write_bytes(issued.key_pem)
        (self.folder / f"{name}.pem").write_bytes(issued.pem)

    def copy(self, name: str, other: str) -> None:
        """Over another file, whose mode stays."""
        (self.folder / other).write_bytes((self.folder / name).read_bytes())

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def new_server(self, *hosts: str, now: datetime | None = None, life: timedelta = DAY) -> Issued:
        return new_server(self.authority, hosts or ("localhost", "127.0.0.1"), now or datetime.now(UTC), life)

    def new_client(self, name: str, now: datetime | None = None, life: timedelta = DAY) -> Issued:
        return new_client(self.authority, name, f"spiffe://test/{name}", now or datetime.now(UTC), life)

    def trusting(self, client: str = "", ca: str = "ca.pem") -> ssl.SSLContext:
        """A client's context."""
        context = ssl.create_default_context(cafile=self[ca])
        if client:
            context.load_cert_chain(self[f"{client}.pem"], self[f"{client}.key"])
        return context


def certificates(folder: Path) -> Paths:
    """An authority, a server of it, clients of it: one valid, one expired, and one of another authority."""
    now = datetime.now(UTC)
    made = Paths(folder, new_authority("test authority", now, DAY))
    made.write("ca", made.authority)
    made.write("server", made.new_server())
    made.write("client", made.new_client("build"))
    made.write("expired", made.new_client("late", now - 3 * DAY, DAY))
    other = new_authority("another authority", now, DAY)
    made.write("stranger-ca", other)
    made.write("stranger", new_client(other, "build", "spiffe://test/build", now, DAY))
    return made


@dataclass
class TlsRunning:
    url: str
    port: int
    tls: TlsEdge
    paths: Paths
    running: Running


@asynccontextmanager
async def tls_edge(running: Running, paths: Paths, **more: Any) -> AsyncIterator[TlsRunning]:
    """`more`: settings of the edge; `mappings`: whom certificates name; `app`: what answers beside MCP."""
    mappings: Certificates = more.pop("mappings", Certificates({}))
    app: Any = more.pop("app", _healthy)
    settings = EdgeSettings(**more)
    ca = Path(paths["ca.pem"]) if settings.client_certificates != "none" else None
    files = TlsFiles(Path(paths["server.pem"]), Path(paths["server.key"]), ca, settings.client_certificates)
    tls = TlsEdge(files)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = edge_config(app, running.fleet.gateway.handle, settings, tls, mappings)
    config.load()
    server = EdgeServer(config, lambda: None, _nothing)
    server.servers = []
    end_untrusted(tls, lambda: server.server_state.connections)
    await server.take_over(listener)
    try:
        yield TlsRunning(f"https://127.0.0.1:{port}", port, tls, paths, running)
    finally:
        for one in server.servers:
            one.close()
        running.fleet.gateway.streams.close_all()
        for connection in tuple(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


async def _nothing() -> None: ...


async def _healthy(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"ok\n"})
