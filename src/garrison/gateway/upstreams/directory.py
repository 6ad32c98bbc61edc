"""All upstreams by name, in the catalog's order, and where the names of the aggregate lead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from garrison.catalog.snapshot import Snapshot
from garrison.gateway import aggregate
from garrison.gateway.upstreams.upstream import Upstream
from garrison.kernel.errors import NotFound
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message


class Directory:
    """Follows the snapshot: `apply` swaps servers in and out, `connected` and `lost` follow their instances.

    `demand(server)` waits until a lazy server serves; set by whoever runs the servers.
    """

    def __init__(self) -> None:
        self._upstreams: dict[str, Upstream] = {}
        self._retired: list[Upstream] = []
        self._listeners: list[Callable[[str, str], None]] = []
        self._on_connected: list[Callable[[str], None]] = []
        self._on_heard: list[Callable[[str, Message], None]] = []
        self.edition = object()
        """Another one whenever a snapshot was applied: what was decided before may not hold any more."""
        self.demand: Callable[[str], Awaitable[None]] | None = None

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        return self._upstreams

    def on_changed(self, listener: Callable[[str, str], None]) -> None:
        """Call back with (server, notification method) when a list has changed."""
        self._listeners.append(listener)

    def on_connected(self, listener: Callable[[str], None]) -> None:
        """Call back with a server's name when another instance of it serves."""
        self._on_connected.append(listener)

    def on_heard(self, listener: Callable[[str, Message], None]) -> None:
        """Call back with a server's name and what it says unasked."""
        self._on_heard.append(listener)

    def apply(self, snapshot: Snapshot) -> None:
        """Take over a snapshot's servers; an unchanged one keeps its connection and lists."""
        wanted = {name: spec for name, spec in snapshot.servers.items() if spec.enabled}
        before = self._upstreams
        replaced = [upstream for name, upstream in before.items() if wanted.get(name) != upstream.spec]
        self._retired = [upstream for upstream in (*self._retired, *replaced) if upstream.in_flight]
        self._upstreams = {
            name: before[name]
            if name in before and before[name].spec == spec
            else Upstream(spec, self._changed, self._heard)
            for name, spec in wanted.items()
        }
        self.edition = object()
        for server in before.keys() - wanted.keys():
            for notification in methods.LIST_CHANGED:
                self._changed(server, notification)

    def connected(self, name: str, connection: Connection) -> None:
        if name in self._upstreams:
            self._upstreams[name].connected(connection)
            for listener in self._on_connected:
                listener(name)

    def lost(self, name: str, problem: str, hint: str) -> None:
        if name in self._upstreams:
            self._upstreams[name].lost(problem, hint)

    def get(self, name: str) -> Upstream:
        """Raises `NotFound`."""
        try:
            return self._upstreams[name]
        except KeyError:
            hint = "`garrison server list` shows the servers"
            raise NotFound("server.unknown", f"there is no server {name[:64]!r}", hint) from None

    def named(self, joined: str, kind: str) -> tuple[Upstream, str]:
        """The upstream behind a name of the aggregate, and the name there. Raises `NotFound`."""
        found = aggregate.split(joined, self._upstreams)
        if found is None:
            hint = f"names begin with their server's: SERVER{aggregate.SEPARATOR}NAME"
            raise NotFound(f"{kind}.unknown", f"there is no {kind} {joined[:128]!r}", hint)
        return self._upstreams[found[0]], found[1]

    def owner(self, uri: str) -> Upstream:
        """The upstream that a resource belongs to: who lists it, else whose template fits. Raises `NotFound`."""
        for upstream in self._upstreams.values():
            if uri in upstream.lists[methods.RESOURCES_LIST]:
                return upstream
        for upstream in self._upstreams.values():
            templates = upstream.lists[methods.TEMPLATES_LIST]
            if any(aggregate.template_matches(template, uri) for template in templates):
                return upstream
        raise NotFound("resource.unknown", f"no server offers the resource {uri[:200]!r}")

    def busy(self, name: str) -> bool:
        """Whether calls to this server are in flight."""
        return any(upstream.in_flight for upstream in self._named(name))

    async def drained(self, name: str) -> None:
        """Wait until no call to this server is in flight, in its present shape or an earlier one."""
        for upstream in self._named(name):
            await upstream.drained()

    async def settled(self) -> None:
        """Wait until the lists of all connected servers are read."""
        await asyncio.gather(*(upstream.settled() for upstream in self._upstreams.values()))

    async def close(self) -> None:
        await asyncio.gather(*(upstream.close() for upstream in self._upstreams.values()))

    def _named(self, name: str) -> list[Upstream]:
        return [upstream for upstream in (*self._retired, *self._upstreams.values()) if upstream.name == name]

    def _heard(self, server: str, message: Message) -> None:
        for listener in self._on_heard:
            listener(server, message)

    def _changed(self, server: str, notification: str) -> None:
        for listener in self._listeners:
            listener(server, notification)
