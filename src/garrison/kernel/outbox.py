"""Writes of one turn of the event loop: the first at once, the others together at its end.

Each write wakes its reader, who then wants the processor that we are working on. Whoever is alone should not wait;
where many come at once, their writes cost less one after the other, when the turn's work is done, than in between.
"""

from __future__ import annotations

import asyncio


class Outbox:
    """For any number of transports of one loop. Whoever writes to one of them otherwise flushes first."""

    __slots__ = ("_in_turn", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._in_turn = False

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        if self._in_turn:
            self._waiting.append((transport, data))
            return
        self._in_turn = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        if not transport.is_closing():
            transport.write(data)

    def flush(self) -> None:
        """Write what waits, now."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for transport, data in waiting:
                if not transport.is_closing():
                    transport.write(data)

    def _end_turn(self) -> None:
        self._in_turn = False
        self.flush()
