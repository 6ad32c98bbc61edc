"""Time, injected: wall time for records, monotonic time for deadlines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch (UTC); may step."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never step; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clocks."""

    wall_ns = staticmethod(time.time_ns)
    monotonic_s = staticmethod(time.monotonic)


@dataclass
class ManualClock:
    """A clock that moves only when told; for tests."""

    wall: int = 1_700_000_000_000_000_000
    mono: float = 1000.0

    def wall_ns(self) -> int:
        return self.wall

    def monotonic_s(self) -> float:
        return self.mono

    def advance(self, seconds: float) -> None:
        self.wall += int(seconds * 1e9)
        self.mono += seconds


def rfc3339(wall_ns: int) -> str:
    """`2026-11-22T00:14:46.123456Z`: UTC with microseconds (RFC 3339)."""
    whole, rest = divmod(wall_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
