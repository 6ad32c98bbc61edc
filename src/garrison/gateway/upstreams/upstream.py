"""One server as the gateway sees it: its live connection and the last good lists of what it offers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from msgspec import UNSET

from garrison.catalog.pins import Kind, Why
from garrison.catalog.spec import ServerSpec
from garrison.gateway.sieve import sieves_of
from garrison.gateway.upstreams.agreement import agreed, lists_of, sentence
from garrison.gateway.upstreams.definition import KIND, Definition, definitions
from garrison.gateway.upstreams.holding import Holding
from garrison.gateway.upstreams.lapse import Lapse
from garrison.gateway.upstreams.listening import listen
from garrison.gateway.upstreams.listing import listed
from garrison.gateway.upstreams.pinning import Pinning, no_pins
from garrison.gateway.upstreams.pool import Pool, Spread
from garrison.kernel.errors import GarrisonError, Unavailable
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import ServerInfo
from garrison.protocol.messages import Message

LISTEN_AGAIN_S = 1.0
LOOK_AGAIN_S = 1.0  # a list that a client asks for is read anew when it was last read longer ago than this
LIST_AGAIN_S = 30.0
"""When a list is asked for again that could not be read."""
LEGACY_AGAIN_S = 60.0
"""A modern server that failed a legacy handshake for a passing reason is asked for another one after this."""

log = logging.getLogger("garrison.gateway")


class Upstream:
    """Lists outlive the connection: a server that is away keeps its place in the aggregate until it is removed.

    `changed(server, notification method)` is called when a list has changed, `heard(server, message)` with what the
    server says unasked, `read()` after each list that was read and when there are no more to read.
    """

    def __init__(
        self,
        spec: ServerSpec,
        changed: Callable[[str, str], None],
        heard: Callable[[str, Message], None],
        read: Callable[[], None],
        pins: Pinning | None = None,
    ) -> None:
        self.spec = spec
        self.pins = pins or no_pins()
        self.holding = Holding(self.pins)
        self.sieves = sieves_of(spec)
        """What the server's filters let pass, everywhere: a filter is a decision on security."""
        self.name = spec.name
        self.connection: Connection | None = None
        """Of its instance; of the first that serves, where there are several."""
        self.pool: Pool | None = None
        """Its instances, where there are several."""
        self.lists: Mapping[str, Mapping[str, Definition]] = {method: {} for method in methods.LIST_MEMBER}
        self.problem = "it has not started yet"
        self.hint = ""
        self.listed = False
        """Whether the lists were fetched at least once."""
        self.awaited = False
        """It takes over from one that served, and calls wait until it can."""
        self.is_reading = False
        self.readings = 0  # how often a list was read or judged anew
        self.has_apps = False
        """Whether its lists name `ui://` resources."""
        self.has_tasks = False
        self.info: ServerInfo | None = None
        """What it said of itself last."""
        self.rewrites = False
        """Whether its results may name what clients know by other names: apps, tasks."""
        self.in_flight = 0
        """Calls without an answer yet."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._changed = changed
        self._tell = heard
        self._was_read = read
        self.given: dict[str, list[object]] = {}
        """The lists as the server gave them; a method is in it as soon as its list was read once."""
        self._read_s: dict[str, float] = {}
        self._looking: set[str] = set()
        """Lists that are only looked at again: nobody said that they have changed."""
        self._refreshing: asyncio.Task[None] | None = None
        self._stale: set[str] = set()
        self._unread: dict[str, str] = {}
        """Lists that could not be read lately, and why."""
        self.refuses_legacy = False
        """A modern server that was asked for a legacy connection too, and would not."""
        self._told: set[str] = set()
        """Lists that the server said have changed: that is passed on, even where we see no difference."""

    @property
    def in_doubt(self) -> bool:
        """Its lists may be others by now; calls wait until they are read."""
        return bool(self.holding.doubted)

    @property
    def held(self) -> Mapping[tuple[Kind, str], Why]:
        """What of its lists is kept from everybody, and why."""
        return self.holding.held

    @property
    def tools(self) -> Mapping[str, Definition]:
        return self.lists[methods.TOOLS_LIST]

    def has_listed(self, method: str) -> bool:
        return method in self.given

    def lapse(self, method: str) -> Lapse | None:
        """Why this list is not what the server would say now; None where it is."""
        connection = self.connection
        if connection is None or connection.closed is not None:
            return Lapse("away", self.has_listed(method), self.problem or "its connection has just ended")
        if method in self._unread:
            return Lapse("unread", self.has_listed(method), self._unread[method])
        if not self.has_listed(method):
            return Lapse("reading", False, "it is being asked for its list")
        return None

    def is_common(self, method: str, name: str) -> bool:
        """Whether all instances have this entry of a list, as far as is known."""
        return not self.has_listed(method) or name in self.lists[method]

    def take_over(self, spec: ServerSpec) -> None:
        """Another spec of the same instance: what is offered may have changed with it."""
        self.spec, self.sieves = spec, sieves_of(spec)
        for method, items in self.given.items():
            self._take(method, items)

    def connected(self, connection: Connection) -> None:
        """A new instance is ready: use it and read its lists."""
        self.connection = connection
        self.awaited = False
        self.problem = self.hint = ""
        self.refuses_legacy = False
        self.holding.begin_anew()
        connection.on_message(self._heard)
        self._take_note(connection)
        self._subscribe(connection)
        self.refresh(methods.LIST_MEMBER)

    def manned(self, links: Mapping[int, Connection], spread: Spread) -> list[Connection]:
        """These of its instances serve, by number; returns those that are new."""
        self.pool = self.pool or Pool(self.name, spread)
        before = len(self.pool)
        joined = self.pool.follow(links)
        for connection in joined:
            if connection is not self.connection:
                connection.on_message(self._heard)
                self._take_note(connection)
                self._subscribe(connection)
        self.connection = self.pool.first()
        if joined:
            self.awaited = False
            self.problem = self.hint = ""
            self.refuses_legacy = False
        if joined:
            self.refresh(methods.LIST_MEMBER)
        elif len(links) < before:
            self._read_soon(methods.LIST_MEMBER)
        return joined

    def _take_note(self, connection: Connection) -> None:
        self.info = connection.info
        offered = connection.info.capabilities
        extensions = offered.get("extensions")
        of_modern = isinstance(extensions, dict) and methods.TASKS_EXTENSION in extensions
        self.has_tasks = self.has_tasks or "tasks" in offered or of_modern
        self.rewrites = self.has_apps or self.has_tasks

    def lost(self, problem: str, hint: str) -> None:
        """No instance serves; `problem` says why."""
        self.connection = None
        self.problem, self.hint = problem, hint

    @property
    def is_asleep(self) -> bool:
        """Whether a call has only to wait for it."""
        return self.connection is None and (self.awaited or self.spec.start == "lazy")

    def live(self) -> Connection:
        """The connection to send to. Raises `Unavailable`, naming the server and why."""
        connection = self.connection
        if connection is None or connection.closed is not None:
            why = self.problem or "its connection has just ended"
            message = f"server {self.name} is not available: {why}"
            raise Unavailable("server.unavailable", message, self.hint or "try again in a moment")
        return connection

    def live_for_all(self) -> Connection:
        """The same, to send a caller's request on. Never where each principal has a credential of its own."""
        if self.spec.is_personal:
            message = f"server {self.name} is only asked with each principal's own credential"
            raise Unavailable("server.personal", message, "use an ordinary call")
        return self.live()

    def look_at(self, connection: Connection, announced: str) -> None:
        """Read the lists of a client's own connection, which has announced that one of them has changed."""
        self.connected(connection)
        self._told.update(methods.LIST_CHANGED[announced])

    def leave_legacy_alone(self, *, for_good: bool) -> None:
        """A modern server failed a legacy handshake: until another instance serves, or for a while."""
        serving = self.connection

        def ask_again() -> None:
            if self.connection is serving:
                self.refuses_legacy = False

        if not self.refuses_legacy and not for_good:
            asyncio.get_running_loop().call_later(LEGACY_AGAIN_S, ask_again)
        self.refuses_legacy = True

    def at(self, number: int) -> Connection | None:
        """The connection to one of its instances; to the only one, where there are not several."""
        return self.pool.connections().get(number) if self.pool is not None else self.connection

    def refresh(self, stale: Mapping[str, object] | tuple[str, ...]) -> None:
        """Read these lists again, in the background, one reader at a time. What they said does not hold until then."""
        self._looking.difference_update(stale)
        if self.pins.enforces:
            self.holding.doubted.update(stale)
            self.lists = dict(self.lists)  # whoever decided by them has to ask again
        self._read_soon(stale)

    def look_again(self, method: str) -> None:
        """Read a list anew though nobody said that it has changed, unless that was done a moment ago."""
        now_s = asyncio.get_running_loop().time()
        if self.pins.is_on and not self.is_reading and now_s - self._read_s.get(method, now_s) > LOOK_AGAIN_S:
            self._looking.add(method)
            self._read_soon((method,))

    def rejudge(self) -> None:
        """The pins have changed: what is offered may be something else now."""
        for method, items in tuple(self.given.items()):
            if self._take(method, items):
                self._changed(self.name, _NOTIFICATION[method])

    def distrust(self, method: str, name: str, item: object) -> None:
        """On a connection of a client's own, this entry of a list is not what is pinned: it is held for everybody."""
        is_news = self.holding.distrust(method, name, item)
        if is_news and method in self.given and self._take(method, self.given[method]):
            self._changed(self.name, _NOTIFICATION[method])

    def distrust_as(self, other: Upstream) -> None:
        """Whatever another connection's lists have that is held there."""
        for method, items in other.given.items() if other.held else ():
            for name, item in other.holding.held_of(method, items):
                self.distrust(method, name, item)

    def _read_soon(self, stale: Mapping[str, object] | tuple[str, ...]) -> None:
        self._stale.update(stale)
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    def entered(self) -> None:
        self.in_flight += 1
        if self.in_flight == 1:
            self._idle.clear()

    def left(self) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until no call is in flight."""
        await self._idle.wait()

    async def settled(self) -> None:
        """Wait until the lists are read, or reading them has failed."""
        while self._refreshing is not None and not self._refreshing.done():
            await asyncio.wait({self._refreshing})

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    async def _refresh(self) -> None:
        self.is_reading = True
        while self._stale and self.connection is not None:
            connection, method = self.connection, self._stale.pop()
            try:
                await self._read(connection, method)
            except GarrisonError as error:
                if self.connection is not connection:  # that one has gone meanwhile
                    self._stale.add(method)
                    continue
                # The last good list is served on; a server that fails to list is not emptied.
                log.warning("a list was not read", extra={"server": self.name, "method": method, "why": error.message})
                self._unread[method] = error.message
                self.holding.unread(self.name, method)
                if method == methods.TOOLS_LIST:
                    self.problem = error.message
        if self._unread and self.connection is not None:
            asyncio.get_running_loop().call_later(LIST_AGAIN_S, self._read_again, self.connection)
        self.listed, self.is_reading = True, False
        self._was_read()

    def _read_again(self, connection: Connection) -> None:
        if connection is self.connection and connection.closed is None:
            self.refresh(tuple(self._unread))

    async def _read(self, connection: Connection, method: str) -> None:
        if self.pool is not None and len(self.pool) > 1:
            items = await self._agree(self.pool, method)
        else:
            items = await listed(connection, method)
            self.holding.each.pop(method, None)
        if method not in self._stale:
            self.holding.read(method)
        self._read_s[method] = asyncio.get_running_loop().time()
        if self._unread.pop(method, "") == self.problem:
            self.problem = ""
        told = method in self._told
        self._told.discard(method)
        if method in self._looking:
            self._looking.discard(method)
            if not told and items == self.given.get(method) and method not in self.holding.each:
                return
        if self._take(method, items) or told:
            self._changed(self.name, _NOTIFICATION[method])

    async def _agree(self, pool: Pool, method: str) -> list[object]:
        """What all instances list; that they do not list the same is said."""
        lists = await lists_of(self.name, pool.connections(), lambda connection: listed(connection, method))
        common, differs = agreed(method, lists)
        self.holding.each[method] = list(lists.values())
        problem = sentence(differs)
        if problem:
            log.warning("instances differ", extra={"server": self.name, "method": method, "differs": differs})
        if method == methods.TOOLS_LIST:
            self.problem = problem
        return common

    def _take(self, method: str, items: list[object]) -> bool:
        """What the server listed becomes what is offered; whether that is something else than before."""
        self.readings += 1
        self.given[method] = items
        passed = self.holding.sift(self.spec, method, items)
        before, found = self.lists[method], definitions(self.name, method, passed, self.sieves[KIND[method]])
        self.lists = {**self.lists, method: found}
        self.has_apps = any(one.names_apps for each in self.lists.values() for one in each.values())
        self.rewrites = self.has_apps or self.has_tasks
        self._was_read()
        return [each.content for each in before.values()] != [each.content for each in found.values()]

    def _heard(self, message: Message) -> None:
        self._tell(self.name, message)
        if message.method is not UNSET and message.method in methods.LIST_CHANGED:
            self._told.update(methods.LIST_CHANGED[message.method])
            self.refresh(methods.LIST_CHANGED[message.method])

    def _subscribe(self, connection: Connection) -> None:
        listen(connection, self._heard, lambda: self._listen_again(connection))

    def _listen_again(self, connection: Connection) -> None:
        """A subscription ended; as long as the connection lives, changes are wanted, and some may have been missed."""
        if self._serves(connection):
            asyncio.get_running_loop().call_later(LISTEN_AGAIN_S, self._resubscribe, connection)

    def _resubscribe(self, connection: Connection) -> None:
        if self._serves(connection):
            self._subscribe(connection)
            self.refresh(methods.LIST_MEMBER)

    def _serves(self, connection: Connection) -> bool:
        is_ours = connection is self.connection or (self.pool is not None and connection in self.pool)
        return is_ours and connection.closed is None


_NOTIFICATION = {method: name for name, stale in methods.LIST_CHANGED.items() for method in stale}
