"""Processes that are ready before a client needs one: started, and through with the handshake.

A handshake declares what a client can be asked, so a ready process suits the clients that declare the same. The pool
learns: what was asked for last is what the next one declares.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from garrison.kernel.errors import GarrisonError
from garrison.protocol.connection import Connection

Dial = Callable[..., Awaitable[Connection]]
"""Opens a further connection to a server, declaring these client capabilities: `(server, capabilities)`. With a third
argument, a principal, it shows that one's credential."""

log = logging.getLogger("garrison.gateway")


class WarmPool:
    """Keeps the number of each server's ready processes; one that dies is replaced when the next is taken."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._counts: dict[str, int] = {}
        self._likely: dict[str, Mapping[str, Any]] = {}
        self._ready: dict[str, list[tuple[Mapping[str, Any], Connection]]] = {}
        self._filling: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def ready(self, server: str) -> int:
        return len(self._ready.get(server, ()))

    def keep(self, server: str, count: int) -> None:
        """From now on, this many are to be ready."""
        if count:
            self._counts[server] = count
            self._fill(server)
        elif server in self._counts:
            self.retire(server)

    def take(self, server: str, capabilities: Mapping[str, Any]) -> Connection | None:
        """One that declared just this; None when there is none. Its place is filled again."""
        if server not in self._counts:
            return None
        self._likely[server] = capabilities
        ready = self._ready.get(server, [])
        found = next((pair for pair in ready if pair[0] == capabilities and pair[1].closed is None), None)
        given_up = found or next(iter(ready), None)
        if given_up is not None:
            ready.remove(given_up)
        if given_up is not None and found is None:
            self._end(given_up[1])  # of no use to this client, and likely to none: the next one declares the same
        self._fill(server)
        return found[1] if found is not None else None

    def retire(self, server: str) -> None:
        """End what is ready, and keep none."""
        self._counts.pop(server, None)
        self._likely.pop(server, None)
        filling = self._filling.pop(server, None)
        if filling is not None:
            filling.cancel()
            self._ending.add(filling)
            filling.add_done_callback(self._ending.discard)
        for _, connection in self._ready.pop(server, []):
            self._end(connection)

    async def close(self) -> None:
        for server in tuple(self._counts):
            self.retire(server)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _fill(self, server: str) -> None:
        if server not in self._filling and self.ready(server) < self._counts[server]:
            task = self._filling[server] = asyncio.ensure_future(self._fill_up(server))
            task.add_done_callback(lambda done: self._filled(server, done))

    def _filled(self, server: str, task: asyncio.Task[None]) -> None:
        if self._filling.get(server) is task:
            del self._filling[server]

    async def _fill_up(self, server: str) -> None:
        while self.ready(server) < self._counts.get(server, 0):
            declared = self._likely.get(server, {})
            try:
                connection = await self._dial(server, declared)
            except GarrisonError as error:
                log.warning("no process could be kept ready", extra={"server": server, "why": error.message})
                return
            pair = (declared, connection)
            self._ready.setdefault(server, []).append(pair)
            connection.on_closed(lambda reason, pair=pair: self._forget(server, pair))  # type: ignore[misc]

    def _forget(self, server: str, pair: tuple[Mapping[str, Any], Connection]) -> None:
        ready = self._ready.get(server, [])
        if pair in ready:
            ready.remove(pair)

    def _end(self, connection: Connection) -> None:
        task = asyncio.ensure_future(close_quietly(connection))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def close_quietly(connection: Connection) -> None:
    try:
        await connection.close()
    except GarrisonError as error:
        log.info("a connection did not close in order", extra={"server": connection.label, "why": error.message})
