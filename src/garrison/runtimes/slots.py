"""Bounded concurrency of starts: an interpreter that boots takes a whole core."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

PER_CORE = 2
HOLD_S_MAX = 10.0
"""Whoever starts longer than this waits for something (a download, a peer) and does not keep others waiting."""


class StartSlots:
    def __init__(self, count: int | None = None, hold_s_max: float = HOLD_S_MAX) -> None:
        self._free = asyncio.Semaphore(count or max(4, PER_CORE * (os.cpu_count() or 1)))
        self._hold_s_max = hold_s_max

    async def take(self) -> Callable[[], None]:
        """Wait for a slot; the returned function gives it back, and may be called again without harm."""
        await self._free.acquire()
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                timer.cancel()
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._hold_s_max, release)
        return release
