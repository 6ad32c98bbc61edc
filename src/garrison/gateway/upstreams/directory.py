"""All upstreams by name, in the catalog's order, and what the endpoints of several servers show of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import RUNTIME_FIELDS, ServerSpec
from garrison.gateway.upstreams.pinning import Pinning, no_pins
from garrison.gateway.upstreams.pool import Spread
from garrison.gateway.upstreams.upstream import Upstream
from garrison.gateway.views import View, views_of
from garrison.kernel.errors import NotFound
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message


class Directory:
    """Follows the snapshot: `apply` swaps servers in and out, `connected` and `lost` follow their instances.

    `demand(server)` waits until a lazy server serves; set by whoever runs the servers. `spread`: how calls are spread
    over a server's instances. `pins`: what servers are held to.
    """

    def __init__(self, spread: Spread | None = None, pins: Pinning | None = None) -> None:
        self.pins = pins or no_pins()
        self._spread = spread or Spread()
        self._upstreams: dict[str, Upstream] = {}
        self._retired: list[Upstream] = []
        self._listeners: list[Callable[[str, str], None]] = []
        self._on_connected: list[Callable[[str], None]] = []
        self._on_renewed: list[Callable[[str], None]] = []
        self._on_heard: list[Callable[[str, Message], None]] = []
        self.demand: Callable[[str], Awaitable[None]] | None = None
        self.edition = object()
        """Another one with each snapshot that was taken over."""
        self.names = object()
        """Another one with each snapshot, and with each list that was read."""
        self.views: Mapping[str, View] = views_of(Snapshot())
        """By endpoint; swapped with the servers."""
        self._on_reshown: list[Callable[[str], None]] = []
        self._on_settled: list[Callable[[], None]] = []
        self._on_rejudged: list[Callable[[], None]] = []
        self._watching: asyncio.TimerHandle | None = None

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        return self._upstreams

    def on_changed(self, listener: Callable[[str, str], None]) -> None:
        """Call back with (server, notification method) when a list has changed."""
        self._listeners.append(listener)

    def on_connected(self, listener: Callable[[str], None]) -> None:
        """Call back with a server's name when another instance of it serves."""
        self._on_connected.append(listener)

    def on_renewed(self, listener: Callable[[str], None]) -> None:
        """Call back with a server's name when it had lost the session on the shared connection and gave us another."""
        self._on_renewed.append(listener)

    def on_heard(self, listener: Callable[[str, Message], None]) -> None:
        """Call back with a server's name and what it says unasked."""
        self._on_heard.append(listener)

    def on_reshown(self, listener: Callable[[str], None]) -> None:
        """Call back with an endpoint's name when another snapshot lets it show something else."""
        self._on_reshown.append(listener)

    def on_settled(self, listener: Callable[[], None]) -> None:
        """Call back when lists were read and no more are being read."""
        self._on_settled.append(listener)

    def on_rejudged(self, listener: Callable[[], None]) -> None:
        """Call back when the pins have changed, after the shared lists were judged by them."""
        self._on_rejudged.append(listener)

    def apply(self, snapshot: Snapshot) -> None:
        """Take over a snapshot's servers; one that runs as before keeps its connection and lists."""
        wanted = {name: spec for name, spec in snapshot.servers.items() if spec.enabled}
        before, views = self._upstreams, self.views
        kept = {name: one for name, one in before.items() if name in wanted and _runs_as(one.spec, wanted[name])}
        replaced = [upstream for name, upstream in before.items() if name not in kept]
        self._retired = [upstream for upstream in (*self._retired, *replaced) if upstream.in_flight]
        self._upstreams = {name: kept.get(name) or self._new(spec) for name, spec in wanted.items()}
        for upstream in replaced:
            if upstream.connection is not None and upstream.name in wanted:
                self._upstreams[upstream.name].awaited = True
        self.views = views_of(snapshot)
        self.edition = self.names = object()
        for name, upstream in kept.items():
            if upstream.spec != wanted[name]:
                upstream.take_over(wanted[name])
        self._tell_changes(views, before.keys() - wanted.keys())

    def _new(self, spec: ServerSpec) -> Upstream:
        return Upstream(spec, self._changed, self._heard, self._read, self.pins)

    def _watch(self) -> None:
        """From now on, look now and then whether servers list what they listed before."""
        every_s = self.pins.policy.check_s
        if self.pins.is_on and every_s and self._watching is None:
            self._watching = asyncio.get_running_loop().call_later(every_s, self._look_again)

    def _look_again(self) -> None:
        self._watching = None
        for upstream in self._upstreams.values():
            for method in methods.LIST_MEMBER if upstream.connection is not None else ():
                upstream.look_again(method)
        self._watch()

    def rejudge(self) -> None:
        """The pins have changed."""
        for upstream in self._upstreams.values():
            upstream.rejudge()
        for listener in self._on_rejudged:
            listener()

    def _tell_changes(self, before: Mapping[str, View], gone: Iterable[str]) -> None:
        for server in gone:
            for notification in methods.LIST_CHANGED:
                self._changed(server, notification)
        for endpoint, view in self.views.items():
            if endpoint in before and view != before[endpoint]:
                for listener in self._on_reshown:
                    listener(endpoint)

    def connected(self, name: str, connection: Connection) -> None:
        self._watch()
        if name in self._upstreams:
            self._upstreams[name].connected(connection)
            connection.on_renewed(lambda: self._renewed(name))
            for listener in self._on_connected:
                listener(name)

    def manned(self, name: str, links: Mapping[int, Connection]) -> list[Connection]:
        """Of a server that has several instances, these serve, by number; returns those that are new."""
        upstream = self._upstreams.get(name)
        if upstream is None:
            return []
        before = upstream.connection
        joined = upstream.manned(links, self._spread)
        if joined or upstream.connection not in (before, None):
            for listener in self._on_connected:
                listener(name)
        return joined

    def lost(self, name: str, problem: str, hint: str) -> None:
        if name in self._upstreams:
            self._upstreams[name].lost(problem, hint)

    def get(self, name: str) -> Upstream:
        """Raises `NotFound`."""
        try:
            return self._upstreams[name]
        except KeyError:
            raise unknown_server(name) from None

    def busy(self, name: str) -> bool:
        """Whether calls to this server are in flight."""
        return any(upstream.in_flight for upstream in self._named(name))

    async def drained(self, name: str) -> None:
        """Wait until no call to this server is in flight, in its present shape or an earlier one.

        Calls that wait for the next one are not in flight: it begins when this one has ended.
        """
        for upstream in self._named(name):
            if not upstream.awaited:
                await upstream.drained()

    def places(self, name: str) -> Sequence[int]:
        """At which instances a connection of a client's own can be opened, the best first; 0 where there is but one."""
        upstream = self._upstreams.get(name)
        if upstream is None or upstream.pool is None or not upstream.spec.urls:
            return (0,)
        return upstream.pool.places()

    def busy_at(self, name: str, number: int) -> bool:
        """Whether calls are at this instance of a server that has several."""
        return any(upstream.pool.busy(number) for upstream in self._named(name) if upstream.pool is not None)

    async def drained_at(self, name: str, number: int) -> None:
        """Wait until no call is at this instance."""
        for upstream in self._named(name):
            if upstream.pool is not None:
                await upstream.pool.drained(number)

    async def settled(self) -> None:
        """Wait until the lists of all connected servers are read."""
        await asyncio.gather(*(upstream.settled() for upstream in self._upstreams.values()))

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.gather(*(upstream.close() for upstream in self._upstreams.values()))

    def _named(self, name: str) -> list[Upstream]:
        return [upstream for upstream in (*self._retired, *self._upstreams.values()) if upstream.name == name]

    def _read(self) -> None:
        self.names = object()
        if not any(upstream.is_reading for upstream in self._upstreams.values()):
            for listener in self._on_settled:
                listener()

    def hear(self, server: str, message: Message) -> None:
        """What a server says unasked, on a connection that nobody has to himself."""
        self._heard(server, message)

    def _heard(self, server: str, message: Message) -> None:
        for listener in self._on_heard:
            listener(server, message)

    def _renewed(self, name: str) -> None:
        if name in self._upstreams:
            self._upstreams[name].refresh(methods.LIST_MEMBER)
        for listener in self._on_renewed:
            listener(name)

    def _changed(self, server: str, notification: str) -> None:
        for listener in self._listeners:
            listener(server, notification)


def _runs_as(spec: ServerSpec, other: ServerSpec) -> bool:
    """Whether the instances of the one serve for the other."""
    return all(getattr(spec, field) == getattr(other, field) for field in (*RUNTIME_FIELDS, "urls", "count"))


def unknown_server(name: str) -> NotFound:
    """The one answer for a server that is not there and for one that is not to be seen."""
    return NotFound("server.unknown", f"there is no server {name[:64]!r}", "`garrison server list` shows the servers")
