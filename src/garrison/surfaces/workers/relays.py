"""The primary's side of servers behind pipes: other workers reach them here, each as if it had the pipes to itself.

Request ids of workers differ from ours and from each other's, so frames pass as they are: nothing in them is
rewritten, and progress finds its way. Handshakes and pings are answered here. Subscriptions and log levels, which a
legacy server keeps once for each connection, are kept with the primary's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from msgspec import Raw

from garrison.catalog.spec import ServerSpec
from garrison.gateway.feeds import Subscriber
from garrison.gateway.gateway import Gateway
from garrison.gateway.upstreams.directory import Directory
from garrison.kernel.errors import Limited, NotFound, Unavailable
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, notification_frame
from garrison.runtimes.instance import Observed, State
from garrison.runtimes.supervisor import Supervisor
from garrison.surfaces.workers import sockets
from garrison.surfaces.workers.relay import Relay

FAILING = frozenset({State.BACKOFF, State.FATAL, State.AUTH_NEEDED})
IDS_OF_EACH = 1 << 32
"""So many requests a relay can carry; with 2^20 relays in turn, ids stay whole numbers in every language."""
RELAYS_IN_TURN = 1 << 20


class Dial(Protocol):
    async def __call__(self, server: str, capabilities: Mapping[str, Any]) -> Connection: ...


class Relays:
    """All of them. Empty, and without any effect, where there is but one worker."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._all: set[Relay] = set()
        self._listeners: dict[Connection, set[Relay]] = {}
        self._numbers = count(1)
        self._news = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._supervisor: Supervisor[Connection] | None = None
        self._gateway: Gateway | None = None
        self._dial: Dial | None = None

    async def open(self, run: Path, supervisor: Supervisor[Connection], gateway: Gateway, dial: Dial) -> None:
        self._supervisor, self._gateway, self._dial = supervisor, gateway, dial
        supervisor.subscribe(lambda name, observed, link: self._seen(name, observed))
        self._path = sockets.relay_socket(run)
        listener = sockets.listen(self._path)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: Relay(self), sock=listener)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for relay in tuple(self._all):
            relay.close()

    def own(self, server: str) -> int:
        """Processes that clients of other workers have to themselves, those that are being opened included."""
        return sum(relay.is_own for relay in self._all if relay.server == server)

    # ── what the supervisor asks ──

    def busy(self, server: str) -> bool:
        """Whether other workers' calls to this server are in flight."""
        return any(relay.is_busy for relay in self._of(server))

    def busy_at(self, server: str, number: int) -> bool:
        return any(relay.is_busy for relay in self._of(server) if relay.number == number)

    async def drained(self, server: str, number: int | None = None) -> None:
        """The other workers have let go of this server, or of one of its instances."""
        leaving = [relay for relay in self._of(server) if number in (None, relay.number)]
        for relay in leaving:
            relay.leave()
        await asyncio.gather(*(relay.ended.wait() for relay in leaving))

    # ── what a relay asks ──

    def added(self, relay: Relay) -> int:
        """Where its ids begin."""
        self._all.add(relay)
        return (next(self._numbers) % RELAYS_IN_TURN) * IDS_OF_EACH

    def removed(self, relay: Relay) -> None:
        self._all.discard(relay)
        for relays in self._listeners.values():
            relays.discard(relay)
        if self._gateway is not None and relay.server:
            for uri in relay.subscribed:
                self._gateway.subscriptions.release(_subscriber(relay, uri), uri)
            self._gateway.levels.wish_elsewhere(relay.server, str(relay.first_id), "")

    async def find(self, relay: Relay, *, patient: bool) -> tuple[int, int, Connection]:
        """Number, pid and connection of an instance that this worker has not yet. Raises why there is none."""
        assert self._supervisor is not None
        name = relay.server
        if name in self._directory.upstreams and self._directory.upstreams[name].spec.start == "lazy":
            await self._supervisor.demand(name)
        while True:
            news = self._news
            seen = self._supervisor.observed().get(name)
            if seen is None:
                raise NotFound("server.unknown", f"there is no server {name}")
            links = self._supervisor.links(name)
            taken = {one.connection for one in self._of(name) if one.worker == relay.worker}
            free = [number for number, link in links.items() if link not in taken]
            if free:
                return free[0], _pid(seen, free[0]), links[free[0]]
            if not patient:
                _raise_if_failing(seen)
            await news.wait()

    def listen(self, relay: Relay, connection: Connection) -> None:
        """What a server says unasked goes to all who share it."""
        relays = self._listeners.get(connection)
        if relays is None:
            relays = self._listeners[connection] = set()
            connection.on_message(lambda message: self._say(connection, message))
            connection.on_closed(lambda reason: self._ended(connection))
        relays.add(relay)

    async def dial(self, server: str, capabilities: Mapping[str, Any]) -> Connection:
        """A process for one client alone. Raises `Limited` when there are as many as may be, of all workers."""
        assert self._dial is not None
        assert self._gateway is not None
        spec: ServerSpec = self._directory.get(server).spec
        if self._gateway.own.count(server) + self.own(server) > spec.sessions_max:
            message = f"server {server} serves {spec.sessions_max} clients of its own already"
            raise Limited("server.sessions_full", message, "end sessions that are not used, or raise sessions_max")
        return await self._dial(server, capabilities)

    async def subscribe(self, relay: Relay, uri: str) -> None:
        """Raises what the server answers, as `GarrisonError` or `Refused`."""
        assert self._gateway is not None
        upstream = self._directory.get(relay.server)
        told = Subscriber(_subscriber(relay, uri), uri, lambda changed: None)  # the news itself reaches everybody
        await self._gateway.subscriptions.hold(upstream, uri, told)
        relay.subscribed.add(uri)

    def unsubscribe(self, relay: Relay, uri: str) -> None:
        assert self._gateway is not None
        relay.subscribed.discard(uri)
        self._gateway.subscriptions.release(_subscriber(relay, uri), uri)

    def wish(self, relay: Relay, level: str) -> None:
        assert self._gateway is not None
        self._gateway.levels.wish_elsewhere(relay.server, str(relay.first_id), level)

    # ── inside ──

    def _of(self, server: str) -> list[Relay]:
        return [relay for relay in self._all if relay.server == server and not relay.is_own]

    def _seen(self, name: str, observed: Observed) -> None:
        """Something is otherwise: whoever waits looks again; what may not be called any more is left."""
        news, self._news = self._news, asyncio.Event()
        news.set()
        assert self._supervisor is not None
        links = set(self._supervisor.links(name).values())
        for relay in self._of(name):
            if relay.connection is not None and relay.connection not in links:
                relay.leave()

    def _say(self, connection: Connection, message: Message) -> None:
        if isinstance(message.method, str):
            params = None if not isinstance(message.params, Raw) else message.params
            frame = notification_frame(message.method, params)
            for relay in self._listeners.get(connection, ()):
                relay.write(frame)

    def _ended(self, connection: Connection) -> None:
        for relay in self._listeners.pop(connection, set()):
            relay.close()


def _subscriber(relay: Relay, uri: str) -> str:
    return f"worker {relay.worker} {relay.first_id} {uri}"


def _pid(seen: Observed, number: int) -> int:
    return next((each.pid for each in seen.each if each.number == number), seen.pid)


def _raise_if_failing(seen: Observed) -> None:
    failing = next((one for one in (*seen.each, seen) if one.state in FAILING), None)
    if failing is not None or (seen.state is State.STOPPED and seen.spec.start != "lazy"):
        failing = failing or seen
        raise Unavailable("server.unavailable", failing.error or f"it is {failing.state}", failing.hint)
