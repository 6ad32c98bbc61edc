"""Connections of a client's own, for what a shared one cannot carry: capabilities, sessions, state.

A legacy server keeps state per connection and asks its one client; so a legacy session, and a modern client that can
be asked, gets a connection to itself. Bounded in number; those that rest are closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from garrison.kernel.errors import GarrisonError, Limited
from garrison.protocol.connection import Connection
from garrison.protocol.messages import raw

OWN_MAX = 1_000
OWN_PER_SERVER_MAX = 100
IDLE_S = 600.0
SWEEP_S = 30.0

Dial = Callable[[str, Mapping[str, Any]], Awaitable[Connection]]
"""Opens a further connection to a server, declaring these client capabilities."""

log = logging.getLogger("garrison.gateway")


Ready = Callable[[Connection], None]
"""Told of a new connection before anything is sent on it."""

Key = tuple[str, str, bytes]


@dataclass(frozen=True)
class Owner:
    """Whose connection it is: a legacy session, or a principal with what its client can be asked."""

    id: str
    server: str
    capabilities: Mapping[str, Any]

    @property
    def key(self) -> Key:
        return self.id, self.server, bytes(raw(dict(sorted(self.capabilities.items()))))


class OwnConnections:
    """`dial` opens them; the composition root says how."""

    def __init__(self) -> None:
        self.dial: Dial | None = None
        self._open: dict[Key, Connection] = {}
        self._opening: dict[Key, asyncio.Task[Connection]] = {}
        self._used_s: dict[Key, float] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def find(self, owner: Owner) -> Connection | None:
        connection = self._open.get(owner.key)
        if connection is None or connection.closed is not None:
            return None
        self._used_s[owner.key] = asyncio.get_running_loop().time()
        return connection

    async def open(self, owner: Owner, ready: Ready) -> Connection:
        """The owner's connection, made when there is none. Raises `Limited`, or why it could not be opened."""
        found = self.find(owner)
        if found is not None:
            return found
        opening = self._opening.get(owner.key)
        if opening is None:
            self._check_room(owner.server)
            opening = asyncio.ensure_future(self._dial(owner, ready))
            self._opening[owner.key] = opening
            opening.add_done_callback(lambda _: self._opening.pop(owner.key, None))
        return await asyncio.shield(opening)

    def of(self, owner_id: str) -> list[Connection]:
        return [connection for (id_, _, _), connection in self._open.items() if id_ == owner_id]

    def end(self, owner_id: str) -> None:
        """Close all connections of an owner."""
        for key in [key for key in self._open if key[0] == owner_id]:
            self._close(key)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for opening in tuple(self._opening.values()):
            opening.cancel()
        for key in tuple(self._open):
            self._close(key)
        await asyncio.gather(*self._closing, *self._opening.values(), return_exceptions=True)

    async def _dial(self, owner: Owner, ready: Ready) -> Connection:
        assert self.dial is not None, "the composition root says how connections are opened"
        connection = await self.dial(owner.server, owner.capabilities)
        ready(connection)
        self._open[owner.key] = connection
        self._used_s[owner.key] = asyncio.get_running_loop().time()
        connection.on_closed(lambda reason: self._forget(owner.key, connection))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return connection

    def _check_room(self, server: str) -> None:
        keys = [*self._open, *self._opening]
        if len(keys) >= OWN_MAX or sum(1 for key in keys if key[1] == server) >= OWN_PER_SERVER_MAX:
            message = f"too many clients have a connection of their own to server {server}"
            raise Limited("server.sessions_full", message, "end sessions that are not used", 30.0)

    def _forget(self, key: Key, connection: Connection) -> None:
        if self._open.get(key) is connection:
            del self._open[key]
            self._used_s.pop(key, None)

    def _close(self, key: Key) -> None:
        connection = self._open.pop(key)
        self._used_s.pop(key, None)
        task = asyncio.ensure_future(_close_quietly(connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _sweep(self) -> None:
        """Close what has rested long enough and carries nothing."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for key, used_s in tuple(self._used_s.items()):
            if now - used_s > IDLE_S and key in self._open and not self._open[key].in_flight:
                self._close(key)
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)


async def _close_quietly(connection: Connection) -> None:
    try:
        await connection.close()
    except GarrisonError as error:
        log.info("a connection did not close in order", extra={"server": connection.label, "why": error.message})
