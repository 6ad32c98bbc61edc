"""Where the time of a call goes: functions that are timed, each without what it called that is timed as well.

The timing costs about as much as a small function. What it costs is measured with empty functions, and taken off again.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

CALIBRATION_CALLS = 5_000
CALIBRATION_ROUNDS = 7


@dataclass
class Part:
    """Nanoseconds in functions of one name, how often they were called, and what they called that is timed too."""

    ns: int = 0
    calls: int = 0
    inner_calls: int = 0


@dataclass(frozen=True)
class Own:
    """What timing one call costs, in nanoseconds: within what is measured of it, and around that, in its caller."""

    inside: float
    around: float


class Stopwatch:
    """Off at first; what is wrapped then costs hardly more than without. For one thread, and nothing that waits."""

    def __init__(self) -> None:
        self.on = False
        self.parts: dict[str, Part] = {}
        self._inner_ns = 0
        self._caller = Part()

    def wrap(self, name: str, function: Function) -> Function:
        """The same function, timed as a part of `name`."""
        part, clock = self.parts.setdefault(name, Part()), time.thread_time_ns

        @functools.wraps(function)
        def timed(*args: Any) -> Any:
            if not self.on:
                return function(*args)
            caller, before = self._caller, self._inner_ns
            caller.inner_calls += 1
            self._caller, self._inner_ns = part, 0
            started = clock()
            try:
                return function(*args)
            finally:
                took = clock() - started
                part.ns += took - self._inner_ns
                part.calls += 1
                self._caller, self._inner_ns = caller, before + took

        return timed  # type: ignore[return-value]

    def restart(self) -> None:
        for part in (*self.parts.values(), self._caller):
            part.ns = part.calls = part.inner_calls = 0

    def found_us(self, calls: int, own: Own) -> dict[str, float]:
        """Microseconds of each part, per call of those that were made since the last restart."""
        return {name: _without(part, own) / max(calls, 1) / 1000 for name, part in self.parts.items() if part.calls}


def _without(part: Part, own: Own) -> float:
    return max(part.ns - part.calls * own.inside - part.inner_calls * own.around, 0.0)


def own_cost() -> Own:
    """Measured with functions that do nothing; medians of some rounds."""
    rounds = [_own_cost() for _ in range(CALIBRATION_ROUNDS)]
    return Own(
        statistics.median(one.inside for one in rounds), max(statistics.median(one.around for one in rounds), 0.0)
    )


def _own_cost() -> Own:
    def nothing(argument: object) -> None: ...

    def loop(function: Callable[[object], None]) -> int:
        started = time.thread_time_ns()
        for _ in range(CALIBRATION_CALLS):
            function(None)
        return time.thread_time_ns() - started

    watch = Stopwatch()
    timed = watch.wrap("nothing", nothing)
    watch.on = True
    plain, with_timing = loop(nothing), loop(timed)
    inside = watch.parts["nothing"].ns / CALIBRATION_CALLS
    # An empty function's own time is in `plain`, and belongs to what is measured.
    each = plain / CALIBRATION_CALLS
    return Own(max(inside - each, 0.0), with_timing / CALIBRATION_CALLS - inside)
