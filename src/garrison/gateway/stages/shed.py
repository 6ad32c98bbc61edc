"""shed: more work than the process can do, or its coming end, is refused first of all, and cheaply.

Outside `audit`: such a refusal is counted, not recorded. A record of each would be the load that is to be shed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from garrison.gateway.call import Call, Outcome
from garrison.gateway.refusals import Busy
from garrison.gateway.stage import Stage, Step
from garrison.protocol import methods
from garrison.telemetry.metrics import Metrics

TICK_S = 0.1
_ALWAYS = frozenset({methods.LISTEN})
"""Idle streams."""


@dataclass(frozen=True)
class ShedPolicy:
    """Zero means no limit."""

    concurrent_calls_max: int = 5_000
    """Calls without an answer yet, of everybody together."""
    lag_s_max: float = 0.5
    """By how much the event loop may be late, twice in a row, before new calls are refused."""


class Shed(Stage):
    """Counts requests in flight, and measures the event loop's lag while there are any. `monotonic_s` is injected."""

    name = "shed"

    def __init__(self, policy: ShedPolicy, metrics: Metrics, monotonic_s: Callable[[], float]) -> None:
        self._policy = policy
        self._now = monotonic_s
        self.in_flight = 0
        self.room: float = policy.concurrent_calls_max or math.inf
        """So many calls may be in flight now: none when there is a reason to refuse new ones."""
        self._draining = False
        self._elsewhere = 0
        self._late_ticks = 0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._refused = metrics.counter("garrison.shed.calls", "Calls refused for lack of capacity.", ("reason",))
        metrics.gauge("garrison.calls.in_flight", "Calls without an answer yet.").cell().read_from(
            lambda: self.in_flight
        )

    def enter(self, call: Call) -> Step:
        if call.rpc_id is None or call.method in _ALWAYS:
            return None
        if self.in_flight < self.room:
            self.count()
            call.counted = True
            return None
        if self._draining:
            raise self._busy("draining", "the gateway is shutting down", 5.0)
        if self._late_ticks > 1:
            raise self._busy("lag", "the gateway cannot keep up", 1.0)
        raise self._busy("calls", f"the gateway has {self.in_flight} calls without an answer", 1.0)

    def drain(self) -> None:
        """Let nothing new in any more."""
        self._draining = True
        self._make_room()

    def others_have(self, calls: int) -> None:
        """So many calls are in flight at other workers of the fleet."""
        self._elsewhere = calls
        self._make_room()

    def _make_room(self) -> None:
        closed = self._draining or self._late_ticks > 1
        self.room = 0 if closed else (self._policy.concurrent_calls_max or math.inf) - self._elsewhere

    def count(self) -> None:
        """One more call is in flight."""
        self.in_flight += 1
        if self._timer is None:
            self._measure_again()

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        if call.counted:
            self.in_flight -= 1
        return outcome

    def _busy(self, reason: str, message: str, retry_after_s: float) -> Busy:
        self._refused.cell(reason).add()
        return Busy(
            f"gateway.{'draining' if self._draining else 'overloaded'}",
            message,
            "nothing was done; try again later",
            retry_after_s,
            closing=self._draining,
        )

    def _measure_again(self) -> None:
        self._due_s = self._now() + TICK_S
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        """One late tick is a hiccup; two in a row are a load that will not go away by itself."""
        late_s = self._now() - self._due_s
        self._timer = None
        self._late_ticks = self._late_ticks + 1 if late_s > self._policy.lag_s_max > 0 else 0
        self._make_room()
        if self.in_flight or self._late_ticks:
            self._measure_again()
