"""The composition root: the only place that knows how all the parts go together, and which drivers there are."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garrison import __version__
from garrison.catalog.confidential import confidential
from garrison.catalog.problems import Problem
from garrison.catalog.references import resolve_spec
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ServerSpec, Transport
from garrison.gateway.cursors import Cursors
from garrison.gateway.gateway import Gateway, Parts
from garrison.gateway.kept import KeptAnswers
from garrison.gateway.parked import ParkedCalls
from garrison.gateway.retries import RetryPolicy
from garrison.gateway.sessions import Sessions
from garrison.gateway.stages.shed import ShedPolicy
from garrison.gateway.taskids import TaskIds
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections
from garrison.gateway.worker import Worker
from garrison.identity.keys import KeyStore
from garrison.identity.roles import Authoriser
from garrison.identity.secrets import SecretsFile
from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import GarrisonError, Invalid
from garrison.kernel.home import Home, write_private
from garrison.kernel.ids import RandomIds, SequenceIds
from garrison.protection.entries import Entry
from garrison.protection.ledger import Ledger, LedgerSettings
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
from garrison.runtimes.reconcile import Action
from garrison.runtimes.supervisor import Hooks, Supervisor
from garrison.surfaces import policies
from garrison.surfaces.dialing import ConnectionTimes, Connector, Dialer
from garrison.surfaces.launchers import launcher_folders
from garrison.surfaces.settings import Settings
from garrison.surfaces.workers import sockets
from garrison.surfaces.workers.relays import Relays
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics
from garrison.telemetry.process import add_process_metrics
from garrison.telemetry.redaction import redactor

IDENTITY = {"name": "garrison", "title": "Garrison", "version": __version__}
"""What we call ourselves towards clients and servers."""

ADMIN = "garrison"
"""The principal of changes that the fleet makes by itself."""

log = logging.getLogger("garrison")


@dataclass(frozen=True)
class Fleet:
    """A running fleet's parts, put together."""

    home: Home
    settings: Settings
    directory: Directory
    supervisor: Supervisor[Connection]
    dialer: Dialer
    gateway: Gateway
    keys: KeyStore
    authoriser: Authoriser
    ledger: Ledger
    metrics: Metrics
    reaper: Reaper
    relays: Relays
    """For other workers, where there are some."""


def build(
    home: Home,
    settings: Settings,
    snapshot: Snapshot,
    fleet_id: str,
    worker: Worker = Worker(),  # noqa: B008  immutable
) -> Fleet:
    """Put everything together; nothing runs yet. Raises typed errors for what cannot be opened."""
    home.create()
    clock, ids, metrics = SystemClock(), RandomIds(), Metrics()
    add_process_metrics(metrics)
    limits = LedgerSettings(durability=settings.ledger.durability, window_s=settings.ledger.window_s)
    ledger = Ledger(home.ledger, limits, clock)
    keys = KeyStore(home.keys, clock)
    keys.ensure_admin(home)
    authoriser = Authoriser(snapshot.roles)
    directory = Directory(policies.spread(settings, clock, worker))
    directory.apply(snapshot)
    session_key = _session_key(home)
    parts = Parts(
        directory=directory,
        keys=keys,
        authoriser=authoriser,
        ledger=ledger,
        metrics=metrics,
        sessions=Sessions(session_key, clock, ids, session_times(metrics), worker=worker),
        parked=ParkedCalls(session_key, ids, worker),
        task_ids=TaskIds(session_key),
        cursors=Cursors(session_key),
        clock=clock,
        ids=SequenceIds(),
        identity=IDENTITY,
        limits=policies.limits(settings),
        breaker=policies.breaker(settings),
        shed=ShedPolicy(settings.limits.concurrent_calls_of_all, settings.limits.lag_s_max),
        kept=KeptAnswers(settings.cache.entries_max, settings.cache.size_bytes_max),
        retry=RetryPolicy(settings.retry.retries_max, budget_share=settings.retry.budget_share),
        streams=policies.streams(settings),
        worker=worker,
    )
    reaper = Reaper()
    relays = Relays(directory)
    drivers = _drivers(home, reaper, fleet_id) if worker.is_primary else _drivers_through_the_primary(home, worker)
    supervisor, dialer = _supervisor(home, settings, parts, drivers, relays, is_primary=worker.is_primary)
    drivers.renew = supervisor.renew
    gateway = Gateway(parts)
    gateway.own.dial = dialer
    drain_s = settings.edge.drain_s
    supervisor.subscribe(lambda name, observed, link: follow(gateway.own, observed, link, drain_s))
    return Fleet(
        home, settings, directory, supervisor, dialer, gateway, keys, authoriser, ledger, metrics, reaper, relays
    )


@dataclass
class _Drivers:
    """`shared`: for instances that the supervisor watches; `own`: for those that one client has to itself."""

    shared: dict[Transport, Driver]
    own: dict[Transport, Driver]
    renew: Callable[[str, int, str], Awaitable[None]] | None = None


def _drivers(home: Home, reaper: Reaper, fleet_id: str) -> _Drivers:
    where = Surroundings(fleet_id, home.logs / "servers", os.environ, launcher_folders())
    process, remote = ProcessDriver(where, StdioTransport, reaper), RemoteDriver()
    all_of_them: dict[Transport, Driver] = {"stdio": process, "http": remote, "sse": remote}
    return _Drivers(all_of_them, all_of_them)


def _drivers_through_the_primary(home: Home, worker: Worker) -> _Drivers:
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
    found = _Drivers({"stdio": shared, "http": remote, "sse": remote}, {"stdio": own, "http": remote, "sse": remote})
    return found


def _supervisor(
    home: Home, settings: Settings, parts: Parts, drivers: _Drivers, relays: Relays, *, is_primary: bool
) -> tuple[Supervisor[Connection], Dialer]:
    directory = parts.directory
    times = ConnectionTimes(parts.metrics, parts.clock)
    hooks = _hooks(home, parts, relays) if is_primary else _hooks_of_a_guest(home, parts)
    health = HealthPolicy(
        settings.supervisor.health_interval_s,
        settings.supervisor.health_timeout_s,
        settings.supervisor.health_failures_max,
    )
    connector = Connector(IDENTITY)
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
    stored = SecretsFile(home.secrets, home.secrets_key)

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
    directory, stored = parts.directory, SecretsFile(home.secrets, home.secrets_key)
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


def session_times(metrics: Metrics) -> Callable[[float], None]:
    """Takes the seconds that a client's session lived, when it ends: `mcp.server.session.duration`."""
    about = "How long clients' sessions lived."
    return metrics.histogram(names.SERVER_SESSION_DURATION, about).cell().observe


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


async def stop(fleet: Fleet) -> None:
    """End everything that runs, in order: clients' own connections, then the servers."""
    fleet.gateway.parked.close()
    fleet.gateway.subscriptions.close()
    await fleet.gateway.own.close()
    await fleet.dialer.settled()
    await fleet.supervisor.stop_all()
    await fleet.directory.close()


async def apply(fleet: Fleet, snapshot: Snapshot) -> Sequence[Action]:
    """Let a new snapshot take over: the gateway's view first, then the instances."""
    fleet.authoriser.replace(snapshot.roles)
    fleet.directory.apply(snapshot)
    return await fleet.supervisor.apply(snapshot)


def resolved(spec: ServerSpec, environment: Mapping[str, str], stored: SecretsFile) -> ServerSpec:
    """The spec with its references filled in. Raises `Invalid` naming everything that is missing."""
    full, problems = _filled_in(spec, environment, stored)
    if problems:
        hints = "; ".join(dict.fromkeys(problem.hint for problem in problems))
        raise Invalid("server.reference_missing", "; ".join(problem.message for problem in problems), hints)
    return full


def resolved_elsewhere(spec: ServerSpec, environment: Mapping[str, str], stored: SecretsFile) -> ServerSpec:
    """The spec as it is: another process of ours starts the server. Its secrets are masked here too."""
    _filled_in(spec, environment, stored)
    return spec


def _filled_in(
    spec: ServerSpec, environment: Mapping[str, str], stored: SecretsFile
) -> tuple[ServerSpec, Sequence[Problem]]:
    """With what is missing. From here on the server's secrets are masked: the stored ones by being read."""

    def secret(name: str) -> str | None:
        return stored.get(name) if name in stored.list() else None

    for value in confidential(spec, environment):
        redactor.add(value)
    return resolve_spec(spec, environment, secret)


def record_change(ledger: Ledger, principal: str, change: str, server: str, detail: Mapping[str, Any]) -> None:
    """A change on the record; what cannot be recorded is at least logged, for it has happened already."""
    entry = Entry(SystemClock().wall_ns(), "change", principal=principal, action=change, server=server, detail=detail)
    try:
        ledger.append(entry)
    except GarrisonError as error:
        log.error("a change could not be recorded", extra={"change": change, "server": server, "why": error.message})


def _session_key(home: Home) -> bytes:
    path: Path = home.session_key
    if not path.exists():
        write_private(path, secrets.token_bytes(32))
    return path.read_bytes()
