"""Connections of a client's own, for what a shared one cannot carry: capabilities, sessions, state.

A legacy server keeps state per connection and asks its one client; so whoever speaks to it gets a connection to
itself. Bounded in number; those that rest are closed, and what a client had asked for is asked again on the next one.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from garrison.catalog.spec import ServerSpec
from garrison.gateway.upstreams.standing import Standing
from garrison.gateway.upstreams.upstream import Upstream
from garrison.gateway.upstreams.warm import Dial, WarmPool, close_quietly
from garrison.kernel.errors import Limited, Unavailable
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Params, raw

OWN_MAX = 1_000
REMOTE_PER_SERVER_MAX = 100
"""Sessions of clients at one server over HTTP; of processes, the spec says how many."""
SWEEP_S_MAX = 30.0
RETRY_AFTER_S_MAX = 60.0
LEAVING_POLL_S = 0.05

Key = tuple[str, str, bytes]


@lru_cache(maxsize=OWN_MAX)
def mark_of(key: Key) -> str:
    """A short name for a client's own connection, the same when it is opened again."""
    owner, server, able = key
    return hashlib.blake2b(b"\0".join((owner.encode(), server.encode(), able)), digest_size=16).hexdigest()


class Owner(msgspec.Struct, frozen=True, gc=False):
    """Whose connection it is: a legacy session, or a principal with what its client can be asked."""

    id: str
    server: str
    capabilities: Mapping[str, Any]
    principal: str = ""
    """Whose credential the server is shown, where each principal has its own; empty: the same for all."""

    holder: str = ""
    """The principal that it counts for, among those that share what there may be."""

    @property
    def key(self) -> Key:
        able = bytes(raw(dict(sorted(self.capabilities.items())))) if self.capabilities else b""
        return self.id, self.server, able + self.principal.encode()


class Held:
    """One connection of a client's own. `view`: its server's lists as this client sees them, where they differ."""

    __slots__ = ("connection", "idle_s", "used_s", "view")

    def __init__(self, connection: Connection, idle_s: float) -> None:
        self.connection = connection
        self.idle_s = idle_s
        self.used_s = asyncio.get_running_loop().time()
        self.view: Upstream | None = None


Ready = Callable[[Held], None]
"""Told of a new connection before anything is sent on it."""


class OwnConnections:
    """`dial` opens them; the composition root says how."""

    def __init__(self) -> None:
        self.dial: Dial | None = None
        self.on_sweep: Callable[[], None] = lambda: None
        """Called about every half minute while there are connections."""
        self.views = 0
        """How many connections have lists of their own; most of the time none."""
        self._warm = WarmPool(self._dial)
        self._open: dict[Key, Held] = {}
        self._opening: dict[Key, asyncio.Task[Held]] = {}
        self._holders: dict[Key, str] = {}
        self.share = 1.0
        """How much of what there may be at one server one principal may hold."""
        self._standing: dict[Key, Standing] = {}
        self._ended: set[Key] = set()
        """Keys that are being opened, and whose owner has ended meanwhile."""
        self._keepers: list[Callable[[Key], bool]] = []
        self._editions: Counter[str] = Counter()
        """How often a server's connections were retired."""
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def count(self, server: str) -> int:
        """Connections of clients to this server, those that are being opened included."""
        return sum(1 for key in {*self._open, *self._opening} if key[1] == server)

    def ready(self, server: str) -> int:
        """Processes that wait for a client."""
        return self._warm.ready(server)

    def find(self, owner: Owner) -> Held | None:
        held = self._open.get(owner.key)
        if held is None or held.connection.closed is not None:
            return None
        held.used_s = asyncio.get_running_loop().time()
        return held

    async def open(self, owner: Owner, spec: ServerSpec, ready: Ready) -> Held:
        """The owner's connection, made when there is none. Raises `Limited`, or why it could not be opened."""
        found, key = self.find(owner), owner.key
        if found is not None:
            return found
        opening = self._opening.get(key)
        if opening is None:
            self._check_room(spec, owner.holder)
            self._holders[key] = owner.holder
            opening = asyncio.ensure_future(self._make(owner, spec, ready))
            self._opening[key] = opening
            opening.add_done_callback(lambda _: self._opened(key))
        return await asyncio.shield(opening)

    def note(self, owner: Owner, method: str, params: Params) -> None:
        """The owner asks for something that outlives its request, and should outlive the connection."""
        self._standing.setdefault(owner.key, Standing()).note(method, params)

    def viewed(self, held: Held) -> None:
        """Its client sees other lists than the rest, as long as the connection lasts."""
        self.views += 1
        held.connection.on_closed(lambda reason: self._drop(held))

    def views_of(self, owner_id: str) -> dict[str, Upstream]:
        """The servers whose lists this owner sees otherwise than the rest."""
        found = ((key, held.view) for key, held in self._open.items() if key[0] == owner_id)
        return {key[1]: view for key, view in found if view is not None}

    def rejudge(self) -> None:
        """The pins have changed: what some clients see otherwise than the rest is held or released by them too."""
        for held in tuple(self._open.values()):
            if held.view is not None:
                held.view.rejudge()

    def of(self, owner_id: str) -> list[Connection]:
        return [held.connection for (id_, _, _), held in self._open.items() if id_ == owner_id]

    def marked(self, mark: str) -> Connection | None:
        """The open connection of this name."""
        found = (held.connection for key, held in self._open.items() if mark_of(key) == mark)
        return next((connection for connection in found if connection.closed is None), None)

    def mark_for(self, connection: Connection) -> str:
        """The name of an open connection of a client's own; empty for any other."""
        return next((mark_of(key) for key, held in self._open.items() if held.connection is connection), "")

    # ── their end ──

    def kept_by(self, holds: Callable[[Key], bool]) -> None:
        """Ask before a connection that rests is closed: whoever says True keeps it."""
        self._keepers.append(holds)

    def serves(self, spec: ServerSpec) -> None:
        """The server runs, as this spec says: keep ready what it asks for."""
        isolated = spec.transport == "stdio" and spec.session == "isolated"
        self._warm.keep(spec.name, spec.warm if isolated else 0)

    def retire(self, server: str, drain_s: float) -> None:
        """The server ends or changes: no call uses its connections any more, and each closes with its last one."""
        self._warm.retire(server)
        self._editions[server] += 1
        for key in [key for key in self._open if key[1] == server]:
            self._end_soon(_leave(self._open.pop(key), drain_s))

    def lose(self, server: str, instance: int) -> None:
        """One of a server's instances is gone, and what it kept for clients with it: they begin again at another."""
        for key, held in tuple(self._open.items()):
            if key[1] == server and held.connection.instance == instance:
                self._close(key)

    def end(self, owner_id: str) -> None:
        """Close all connections of an owner, and forget what it had asked for."""
        self._ended.update(key for key in self._opening if key[0] == owner_id)
        for key in [key for key in self._open if key[0] == owner_id]:
            self._close(key)
        for key in [key for key in self._standing if key[0] == owner_id]:
            del self._standing[key]

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for opening in tuple(self._opening.values()):
            opening.cancel()
        for leaving in tuple(self._closing):
            leaving.cancel()
        for key in tuple(self._open):
            self._close(key)
        await self._warm.close()
        await asyncio.gather(*self._closing, *self._opening.values(), return_exceptions=True)

    # ── inside ──

    async def _dial(self, server: str, capabilities: Mapping[str, Any], principal: str = "") -> Connection:
        assert self.dial is not None, "the composition root says how connections are opened"
        return await (self.dial(server, capabilities, principal) if principal else self.dial(server, capabilities))

    async def _make(self, owner: Owner, spec: ServerSpec, ready: Ready) -> Held:
        key = owner.key
        connection = await self._fresh(owner)
        held = Held(connection, spec.session_idle_s)
        connection.on_renewed(lambda: self._restore_soon(key, connection))
        ready(held)
        if key in self._standing:
            await self._standing[key].restore(connection)
        if key in self._ended:
            await close_quietly(connection)
            raise Unavailable("session.ended", f"the session at server {owner.server} has ended", "begin another one")
        self._open[key] = held
        connection.on_closed(lambda reason: self._forget(key, held))
        self._sweep_later()
        return held

    async def _fresh(self, owner: Owner) -> Connection:
        """A connection to the server as it is now, also when it changed while we were connecting."""
        while True:
            edition = self._editions[owner.server]
            connection = self._warm.take(owner.server, owner.capabilities)
            if connection is None:
                connection = await self._dial(owner.server, owner.capabilities, owner.principal)
            if edition == self._editions[owner.server]:
                return connection
            await close_quietly(connection)

    def _opened(self, key: Key) -> None:
        self._opening.pop(key, None)
        self._ended.discard(key)
        if key not in self._open:
            self._holders.pop(key, None)

    def _restore_soon(self, key: Key, connection: Connection) -> None:
        """Its session is another one now, and knows nothing of what the client had asked for."""
        if key in self._standing:
            self._end_soon(self._standing[key].restore(connection))

    def _check_room(self, spec: ServerSpec, holder: str) -> None:
        most = spec.sessions_max if spec.transport == "stdio" else REMOTE_PER_SERVER_MAX
        if len(self._open) + len(self._opening) >= OWN_MAX or self.count(spec.name) >= most:
            message = f"server {spec.name} serves {most} clients of its own already, each with a connection to itself"
            hint = "end sessions that are not used, or raise sessions_max"
            raise Limited("server.sessions_full", message, hint, self._room_after_s(spec.name))
        own = math.ceil(most * self.share)
        if holder and own < most and self._held_by(holder, spec.name) >= own:
            message = f"you have {own} connections of your own to server {spec.name}; the rest is for others"
            hint = "end sessions that are not used; limits.sessions_share says how much one may have"
            raise Limited("limit.sessions", message, hint, self._room_after_s(spec.name))

    def _held_by(self, holder: str, server: str) -> int:
        keys = {*self._open, *self._opening}
        return sum(1 for key in keys if key[1] == server and self._holders.get(key) == holder)

    def _room_after_s(self, server: str) -> float:
        """When the next one could be closed for resting, within bounds."""
        now = asyncio.get_running_loop().time()
        left = [held.used_s + held.idle_s - now for key, held in self._open.items() if key[1] == server]
        return min(max(1.0, min(left, default=RETRY_AFTER_S_MAX)), RETRY_AFTER_S_MAX)

    def _forget(self, key: Key, held: Held) -> None:
        """It ended by itself; what it stands on is let go of too."""
        if self._open.get(key) is held:
            del self._open[key]
            self._holders.pop(key, None)
            self._end_soon(close_quietly(held.connection))

    def _drop(self, held: Held) -> None:
        self.views -= 1
        if held.view is not None:
            self._end_soon(held.view.close())

    def _close(self, key: Key) -> None:
        self._holders.pop(key, None)
        self._end_soon(close_quietly(self._open.pop(key).connection))

    def _end_soon(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _sweep_later(self) -> None:
        if self._timer is None and self._open:
            soonest = min(held.idle_s for held in self._open.values()) / 2
            self._timer = asyncio.get_running_loop().call_later(min(soonest, SWEEP_S_MAX), self._sweep)

    def _sweep(self) -> None:
        """Close what has rested long enough and carries nothing."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for key, held in tuple(self._open.items()):
            rests = now - held.used_s > held.idle_s and not held.connection.in_flight
            if rests and not any(holds(key) for holds in self._keepers):
                self._close(key)
        self.on_sweep()
        self._sweep_later()


async def _leave(held: Held, drain_s: float) -> None:
    """Close when nothing is in flight any more, at the latest after `drain_s`; at once when cancelled."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + drain_s
    try:
        while held.connection.in_flight and loop.time() < deadline:  # noqa: ASYNC110  (a drain is rare)
            await asyncio.sleep(LEAVING_POLL_S)
    finally:
        await close_quietly(held.connection)
