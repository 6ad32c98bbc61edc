"""A whole fleet on this event loop: real server processes, the real edge on a real socket, a stock client."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from uvicorn.server import ServerState

from garrison.catalog.sections import Sections
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ProfileSpec, RoleSpec, ServerSpec
from garrison.kernel.home import Home
from garrison.surfaces.api.app import make_app
from garrison.surfaces.edge.guard import Guard
from garrison.surfaces.edge.protocol import protocol_class
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring import fleet as wiring

SERVERS = Path(__file__).parent / "fixtures" / "servers"


def stdio(name: str, script: str, **more: Any) -> ServerSpec:
    """A fixture server behind pipes."""
    return ServerSpec(name=name, transport="stdio", command=(sys.executable, str(SERVERS / f"{script}.py")), **more)


@dataclass
class Running:
    url: str
    fleet: wiring.Fleet
    admin_key: str

    def key(self, *roles: str, name: str = "tester") -> str:
        return self.fleet.keys.create(name, roles)[1]

    @asynccontextmanager
    async def client(self, path: str = "/mcp", mode: str = "auto", key: str = "", **more: Any) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {key or self.admin_key}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=20) as http,
            Client(streamable_http_client(self.url + path, http_client=http), mode=mode, **more) as client,
        ):
            yield client

    async def post(self, path: str, body: bytes | dict[str, Any], **headers: str) -> httpx2.Response:
        """A bare request with the admin key, unless `authorization` says otherwise."""
        sent = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "authorization": f"Bearer {self.admin_key}",
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx2.AsyncClient(timeout=20) as http:
            content = {"content": body} if isinstance(body, bytes) else {"json": body}
            return await http.post(self.url + path, headers=sent, **content)

    def records(self) -> list[Any]:
        """Everything in the ledger."""
        self.fleet.ledger.flush()
        return [recorded.entry for recorded in self.fleet.ledger.tail(10_000)]


StartFleet = Callable[..., Awaitable[Running]]


def snapshot_of(
    servers: tuple[ServerSpec, ...],
    roles: tuple[RoleSpec, ...] = (),
    profiles: tuple[ProfileSpec, ...] = (),
    sections: Sections = Sections(),  # noqa: B008  immutable
) -> Snapshot:
    named = ({one.name: one for one in servers}, {one.name: one for one in roles}, {one.name: one for one in profiles})
    return Snapshot(*named, sections)


@asynccontextmanager
async def running_fleet(
    root: Path,
    servers: tuple[ServerSpec, ...],
    roles: tuple[RoleSpec, ...] = (),
    settings: Settings | None = None,
    profiles: tuple[ProfileSpec, ...] = (),
    sections: Sections = Sections(),  # noqa: B008  immutable
) -> AsyncIterator[Running]:
    snapshot = snapshot_of(servers, roles, profiles, sections)
    home = Home(root / "home")
    fleet = wiring.build(home, settings or Settings(), snapshot, f"test-{os.getpid()}-{root.name}")
    listener = socket.create_server(("127.0.0.1", 0))
    app = make_app(_Control(fleet))
    config = uvicorn.Config(app, http=protocol_class(fleet.gateway.handle, Guard()), ws="none", lifespan="off")
    config.load()
    state = ServerState()
    edge = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}), sock=listener
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    wiring.listening(fleet, url)
    try:
        await fleet.supervisor.apply(snapshot)
        await fleet.supervisor.settled()
        await fleet.directory.settled()
        yield Running(url, fleet, home.admin_key.read_text())
    finally:
        edge.close()
        fleet.gateway.streams.close_all()
        for connection in tuple(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        await wiring.stop(fleet)
        await asyncio.to_thread(fleet.ledger.close)
        fleet.keys.close()


class _Control:
    """What there is of a node: its fleet."""

    def __init__(self, fleet: wiring.Fleet) -> None:
        self.fleet = fleet

    def status(self) -> dict[str, Any]:
        return {"servers": []}

    async def restart(self, name: str, principal: str) -> None:
        await self.fleet.supervisor.restart(name)
        await self.fleet.directory.settled()

    async def limits_of_others(self, principal: str) -> list[list[dict[str, Any]]]:
        return []

    async def withdraw(self, server: str, principal: str) -> None:
        """There are no other workers."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"there is no node here that could do this: {name}")


@pytest.fixture
async def start_fleet(tmp_path: Path) -> AsyncIterator[StartFleet]:
    """Start fleets; all are ended after the test."""
    async with AsyncExitStack() as stack:

        async def start(*servers: ServerSpec, **more: Any) -> Running:
            return await stack.enter_async_context(running_fleet(tmp_path, servers, **more))

        yield start
