"""Writes of one turn of the event loop, made together at its end.

Each write wakes its reader, who then wants the processor that we are working on. Made one after the other when the
turn's work is done, they cost less than in between.
"""

from __future__ import annotations

import asyncio


class Outbox:
    """For any number of transports of one loop. Whoever writes to one of them otherwise flushes first."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((transport, data))

    def flush(self) -> None:
        """Write what waits, now."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
