"""One tool call as the tool sees it: where progress goes, and whether anybody still waits."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import anyio.from_thread

from garrison.kernel.clock import Clock, SystemClock

Report = Callable[[float, float | None, str | None], Awaitable[None]]

PROGRESS_INTERVAL_S = 0.2
"""Progress is reported at most this often; a client wants a sign of life, not a stream."""


class CallCancelled(BaseException):
    """Nobody waits for this call any more. Not an `Exception`, so that no tool swallows it by mistake."""


class Call:
    """Given to a tool that declares a parameter of this type."""

    def __init__(self, report: Report, clock: Clock | None = None) -> None:
        self._report = report
        self._clock = clock or SystemClock()
        self._cancelled = threading.Event()
        self._reported_s = float("-inf")

    def cancel(self) -> None:
        """Make the next `check` of a tool that runs in a worker thread end it."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise `CallCancelled` when nobody waits any more; for loops in worker threads."""
        if self._cancelled.is_set():
            raise CallCancelled

    async def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the client how far the work is; dropped when the last report was just now."""
        now_s = self._clock.monotonic_s()
        if now_s - self._reported_s >= PROGRESS_INTERVAL_S:
            self._reported_s = now_s
            await self._report(done, total, message)

    def step(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """`check` and `progress` in one, from a worker thread."""
        self.check()
        if self._clock.monotonic_s() - self._reported_s >= PROGRESS_INTERVAL_S:
            anyio.from_thread.run(self.progress, done, total, message)
