"""The supervisor: takes a snapshot, keeps its servers running, and tells whoever subscribed what it sees."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ServerSpec, Transport
from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.errors import NotFound, Unavailable
from garrison.kernel.ids import Ids, RandomIds
from garrison.runtimes.crew import Crew
from garrison.runtimes.driver import Driver
from garrison.runtimes.instance import Instance, Observed, State
from garrison.runtimes.life import L, Means, Policies
from garrison.runtimes.reconcile import Action, reconcile
from garrison.runtimes.slots import StartSlots

_log = logging.getLogger("garrison.runtimes")

Subscriber = Callable[[str, Observed, L | None], None]
"""Called with the server's name, what is seen of it, and the connection to use (None: there is none).
It must not block and must not call back into the supervisor, except for `note_tools` and `links`."""


async def _nothing_in_flight(server: str) -> None:
    return


async def _nothing_at(server: str, number: int) -> None:
    return


@dataclass(frozen=True)
class Hooks:
    """What the supervisor asks of, and tells, the rooms that it does not know."""

    resolve: Callable[[ServerSpec], ServerSpec] = lambda spec: spec
    """Fill in `${…}` right before a start; raises a `GarrisonError` for what is missing."""
    record: Callable[[str, str, dict[str, Any]], None] = lambda change, server, detail: None
    """Takes `server.started`, `server.restarted`, `server.stopped`, `server.fatal`, the name and details."""
    drained: Callable[[str], Awaitable[None]] = _nothing_in_flight
    """Returns when no call to the server is in flight; waited for before a stop that was asked for."""
    busy: Callable[[str], bool] = lambda server: False
    """Whether calls to the server are in flight; silence on pings is then not held against it."""
    drained_at: Callable[[str, int], Awaitable[None]] = _nothing_at
    """As `drained`, for one instance, by its number, of a server that has several."""
    busy_at: Callable[[str, int], bool] = lambda server, number: False


@dataclass(frozen=True)
class World:
    """Time, ids and chance; tests bring their own."""

    ids: Ids = field(default_factory=RandomIds)
    clock: Clock = field(default_factory=SystemClock)
    chance: Callable[[], float] = random.random


class Supervisor(Generic[L]):
    """Lives on one event loop; every method is called there."""

    def __init__(
        self,
        drivers: Mapping[Transport, Driver],
        connect: Callable[[Instance], L],
        hooks: Hooks | None = None,
        policies: Policies | None = None,
        world: World | None = None,
    ) -> None:
        self._drivers = drivers
        self._connect = connect
        self._hooks = hooks or Hooks()
        self._policies = policies or Policies()
        self._world = world or World()
        self.slots = StartSlots(self._policies.starts_at_once)
        """Whoever else starts processes takes them from here too."""
        self._crews: dict[str, Crew[L]] = {}
        self._subscribers: list[Subscriber[L]] = []
        self._applying = asyncio.Lock()
        self._recovered = False
        self._closed = False

    # ── what should be ──────────────────────────────────────────────────────────────────────────────────────────

    async def apply(self, snapshot: Snapshot) -> Sequence[Action]:
        """Set going what the snapshot asks for and return it; removed and changed servers are drained first."""
        async with self._applying:
            await self._recover_once()
            actions = [] if self._closed else reconcile(snapshot.servers, self.observed())
            stops = [action for action in actions if action.step == "stop"]
            await asyncio.gather(*(self._remove(action) for action in stops))
            others = [action for action in actions if action.step != "stop"]
            await asyncio.gather(*(self._carry_out(action, snapshot.servers[action.server]) for action in others))
            return actions

    async def applied(self) -> None:
        """Return when no snapshot is being brought about."""
        async with self._applying:
            return

    async def restart(self, name: str, why: str = "asked for") -> None:
        """End it and start it afresh, `fatal` ones and lazy ones too; returns when it has had its first verdict.

        Several instances are restarted one after the other, so that the others serve meanwhile.
        """
        await self._crew(name).restart(why)

    async def renew(self, name: str, pid: int, why: str) -> None:
        """Let go of the instance of this process, drained, and look for another one. Harmless when it is gone."""
        if name in self._crews and not self._closed:
            await self._crews[name].renew(pid, why)

    async def demand(self, name: str) -> L:
        """The live connection of a server; a lazy one is started. Raises `NotFound` or `Unavailable`."""
        return await self._crew(name).demand()

    async def settled(self) -> None:
        """Every server has had its first verdict: running, stopped (lazy), fatal, or failed and to be tried again."""
        for crew in list(self._crews.values()):
            await crew.settled()

    async def stop_all(self) -> None:
        """Drain and end every server; returns when nothing of them is left. Final."""
        self._closed = True
        await asyncio.gather(*(crew.retire("the fleet goes down") for crew in self._crews.values()))

    # ── what is seen ────────────────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, callback: Subscriber[L]) -> Callable[[], None]:
        """Tell `callback` everything seen from now on, and the present state at once; returns what ends it."""
        self._subscribers.append(callback)
        for name, crew in self._crews.items():
            callback(name, crew.observed, crew.link)
        return lambda: self._subscribers.remove(callback)

    def observed(self) -> dict[str, Observed]:
        return {name: crew.observed for name, crew in self._crews.items()}

    def connection(self, name: str) -> L | None:
        """The live connection, if there is one; starts nothing."""
        crew = self._crews.get(name)
        return crew.link if crew is not None else None

    def links(self, name: str) -> Mapping[int, L]:
        """The connections to all instances of a server that may be called, by their numbers."""
        crew = self._crews.get(name)
        return crew.links if crew is not None else {}

    def note_tools(self, name: str, count: int) -> None:
        """Whoever lists a server's tools says here how many there are."""
        if name in self._crews:
            self._crews[name].note_tools(count)

    def logs(self, name: str, lines: int) -> Sequence[str]:
        """The last lines of a server's log, oldest first. Raises `NotFound`."""
        return self._drivers[self._crew(name).observed.spec.transport].logs(name, lines)

    # ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _recover_once(self) -> None:
        if not self._recovered:
            self._recovered = True
            for driver in dict.fromkeys(self._drivers.values()):
                await driver.recover()

    async def _carry_out(self, action: Action, spec: ServerSpec) -> None:
        if action.step == "add":
            await self._add(spec, action.reason, start=spec.start == "eager")
        elif action.step == "restart":
            running = self._crews[action.server].observed.state is not State.STOPPED
            await self._crews[action.server].retire(action.reason)
            await self._add(spec, action.reason, start=running or spec.start == "eager")
        else:
            crew = self._crews[action.server]
            await crew.update(spec)
            if action.step == "start" and not self._closed and crew.observed.state is State.STOPPED:
                await crew.start(action.reason)

    async def _add(self, spec: ServerSpec, why: str, *, start: bool) -> None:
        crew = Crew(spec, self._means(spec), self._publish)
        self._crews[spec.name] = crew
        self._publish(crew.observed, None)
        if start and not self._closed:
            await crew.start(why)

    async def _remove(self, action: Action) -> None:
        await self._crews[action.server].retire(action.reason)
        del self._crews[action.server]

    def _crew(self, name: str) -> Crew[L]:
        if self._closed:
            raise Unavailable("supervisor.stopping", "the fleet is going down")
        crew = self._crews.get(name)
        if crew is None:
            raise NotFound("server.unknown", f"there is no server {name!r}", "garrison server list shows them all")
        return crew

    def _means(self, spec: ServerSpec) -> Means[L]:
        return Means(
            driver=self._drivers[spec.transport],
            connect=self._connect,
            resolve=self._hooks.resolve,
            record=self._record,
            publish=self._publish,
            drained=self._hooks.drained,
            busy=self._hooks.busy,
            drained_at=self._hooks.drained_at,
            busy_at=self._hooks.busy_at,
            slots=self.slots,
            policies=self._policies,
            ids=self._world.ids,
            clock=self._world.clock,
            chance=self._world.chance,
        )

    def _record(self, change: str, server: str, detail: dict[str, Any]) -> None:
        try:
            self._hooks.record(change, server, detail)
        except Exception:  # noqa: BLE001  (boundary to the ledger: a change that cannot be noted ends no server)
            _log.exception("%s of server %s could not be recorded", change, server)

    def _publish(self, observed: Observed, link: L | None) -> None:
        for subscriber in list(self._subscribers):
            try:
                subscriber(observed.server, observed, link)
            except Exception:  # noqa: BLE001  (boundary to observers: their faults must not reach the servers)
                _log.exception("an observer failed on server %s", observed.server)
