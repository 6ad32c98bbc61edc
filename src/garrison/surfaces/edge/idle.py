"""Ending connections that rest for too long: one look at all of them every few seconds.

A timer for each answer would cost as much as writing the answer does, only to be cancelled by the next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

LOOK_EVERY_S = 5.0


class IdleConnections:
    """For all connections of a listener; asleep while there are none."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, loop: asyncio.AbstractEventLoop, connections: Collection[Any]) -> None:
        """Look at these every few seconds from now on, as long as there are any."""
        if self._timer is None:
            self._timer = loop.call_later(LOOK_EVERY_S, self._look, loop, connections)

    def _look(self, loop: asyncio.AbstractEventLoop, connections: Collection[Any]) -> None:
        self._timer = None
        now_s = loop.time()
        for connection in tuple(connections):
            connection.close_if_idle(now_s)
        if connections:
            self.watch(loop, connections)
