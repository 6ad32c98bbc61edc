"""How instances run: drivers, the supervisor, and what it tells the gateway. The only place that names drivers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from garrison.catalog.spec import Transport
from garrison.gateway.gateway import Parts
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections
from garrison.gateway.worker import Worker
from garrison.identity.oauth.credentials import Credentials
from garrison.identity.secrets import secrets_of
from garrison.kernel.home import Home
from garrison.kernel.ids import RandomIds
from garrison.protocol.connection import Connection
from garrison.protocol.transports.stdio import StdioTransport
from garrison.runtimes.driver import Driver
from garrison.runtimes.drivers.process import ProcessDriver, Surroundings
from garrison.runtimes.drivers.relayed import RelayedDriver
from garrison.runtimes.drivers.remote import RemoteDriver
from garrison.runtimes.instance import Observed, State
from garrison.runtimes.life import Policies
from garrison.runtimes.probes import HealthPolicy
from garrison.runtimes.reaper import Reaper
from garrison.runtimes.supervisor import Hooks, Supervisor
from garrison.surfaces import policies
from garrison.surfaces.dialing import ConnectionTimes, Connector, Dialer
from garrison.surfaces.launchers import launcher_folders
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring.records import ADMIN, record_change
from garrison.surfaces.wiring.references import resolved, resolved_elsewhere
from garrison.surfaces.workers import sockets
from garrison.surfaces.workers.relays import Relays


@dataclass
class Drivers:
    """`shared`: for instances that the supervisor watches; `own`: for those that one client has to itself."""

    shared: dict[Transport, Driver]
    own: dict[Transport, Driver]
    renew: Callable[[str, int, str], Awaitable[None]] | None = None


def drivers_here(home: Home, reaper: Reaper, fleet_id: str) -> Drivers:
    where = Surroundings(fleet_id, home.logs / "servers", os.environ, launcher_folders())
    process, remote = ProcessDriver(where, StdioTransport, reaper), RemoteDriver()
    all_of_them: dict[Transport, Driver] = {"stdio": process, "http": remote, "sse": remote}
    return Drivers(all_of_them, all_of_them)


def drivers_through_the_primary(home: Home, worker: Worker) -> Drivers:
    """Of a worker that is not the primary: it starts nothing itself."""
    letting_go: set[asyncio.Future[None]] = set()

    def leaving(server: str, pid: int) -> None:
        assert found.renew is not None
        task = asyncio.ensure_future(found.renew(server, pid, "the node is about to end it"))
        letting_go.add(task)
        task.add_done_callback(letting_go.discard)

    async def dial(make: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        return await sockets.dial(sockets.relay_socket(home.run), make)

    remote = RemoteDriver()
    shared = RelayedDriver(worker.number, dial, StdioTransport, leaving)
    own = RelayedDriver(worker.number, dial, StdioTransport, leaving, is_own=True)
    found = Drivers({"stdio": shared, "http": remote, "sse": remote}, {"stdio": own, "http": remote, "sse": remote})
    return found


def supervised(
    home: Home,
    settings: Settings,
    parts: Parts,
    drivers: Drivers,
    relays: Relays,
    credentials: Credentials,
    *,
    is_primary: bool,
) -> tuple[Supervisor[Connection], Dialer]:
    directory = parts.directory
    times = ConnectionTimes(parts.metrics, parts.clock)
    hooks = _hooks(home, parts, relays) if is_primary else _hooks_of_a_guest(home, parts)
    health = HealthPolicy(
        settings.supervisor.health_interval_s,
        settings.supervisor.health_timeout_s,
        settings.supervisor.health_failures_max,
    )
    connector = Connector(dict(parts.identity), policies.outbound(settings), credentials)
    supervisor: Supervisor[Connection] = Supervisor(
        drivers.shared,
        connector,
        hooks,
        Policies(health=health, drain_s=settings.edge.drain_s),
    )

    def seen(name: str, observed: Observed, link: Connection | None) -> None:
        publish(directory, times, name, observed, link, supervisor.links(name))

    supervisor.subscribe(seen)

    async def demand(server: str) -> None:
        if directory.get(server).awaited:
            await supervisor.applied()
        await supervisor.demand(server)

    directory.demand = demand
    spec_of = lambda name: hooks.resolve(directory.get(name).spec)  # noqa: E731
    dialer = Dialer(drivers.own, connector, spec_of, RandomIds(), times, supervisor.slots, directory.places)
    return supervisor, dialer


def _hooks(home: Home, parts: Parts, relays: Relays) -> Hooks:
    """What other workers do with a server counts as what we do."""
    directory, ledger = parts.directory, parts.ledger
    stored = secrets_of(home)

    async def drained(server: str) -> None:
        await asyncio.gather(directory.drained(server), relays.drained(server))

    async def drained_at(server: str, number: int) -> None:
        await asyncio.gather(directory.drained_at(server, number), relays.drained(server, number))

    return Hooks(
        resolve=lambda spec: resolved(spec, os.environ, stored),
        record=lambda change, server, detail: record_change(ledger, ADMIN, change, server, detail),
        drained=drained,
        busy=lambda server: directory.busy(server) or relays.busy(server),
        drained_at=drained_at,
        busy_at=lambda server, number: directory.busy_at(server, number) or relays.busy_at(server, number),
    )


def _hooks_of_a_guest(home: Home, parts: Parts) -> Hooks:
    """Of a worker that is not the primary: servers are started, and their changes recorded, elsewhere."""
    directory, stored = parts.directory, secrets_of(home)
    return Hooks(
        resolve=lambda spec: (
            resolved_elsewhere(spec, os.environ, stored)
            if spec.transport == "stdio"
            else resolved(spec, os.environ, stored)
        ),
        drained=directory.drained,
        busy=directory.busy,
        drained_at=directory.drained_at,
        busy_at=directory.busy_at,
    )


LEAVING = frozenset({State.DRAINING, State.STOPPING, State.STOPPED})
"""What a server's state is when its end was asked for. One that ended by itself is not in them."""

GONE = frozenset({State.EXITED, State.BACKOFF, State.FATAL})
"""What an instance's state is when it has ended by itself."""


def follow(own: OwnConnections, observed: Observed, link: Connection | None, drain_s: float) -> None:
    """Clients' own processes come and go with the server that they are of; its faults are not theirs.

    What they have at one address of several ends with what is there.
    """
    for one in observed.each if observed.spec.urls else ():
        if one.state in GONE:
            own.lose(observed.server, one.number)
    first = observed.each[0] if observed.each else observed
    if first.state in LEAVING:
        own.retire(observed.server, drain_s)
    elif link is not None:
        own.serves(observed.spec)


def publish(
    directory: Directory,
    times: ConnectionTimes,
    name: str,
    observed: Observed,
    link: Connection | None,
    links: Mapping[int, Connection],
) -> None:
    """The supervisor's news, for the gateway's view. `links`: to all instances that may be called, by number."""
    upstream = directory.upstreams.get(name)
    if upstream is None:
        return
    if upstream.pool is not None or upstream.spec.count > 1:
        for joined in directory.manned(name, links):
            times.watch(joined)
        if links:
            return
        link = None
    if link is None or (upstream.awaited and observed.state is State.DRAINING):  # that one is its predecessor's
        directory.lost(name, observed.error or f"it is {observed.state}", observed.hint)
    elif upstream.connection is not link:
        times.watch(link)
        directory.connected(name, link)
