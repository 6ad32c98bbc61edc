"""When to stop calling a server that does not answer, and when to try it again. Pure: time comes in as an argument.

closed ──too many failures──► open ──open_s later──► half-open ──enough good probes──► closed
                               ▲                          │
                               └──── a probe failed: open twice as long
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from garrison.kernel.errors import GarrisonError

State = Literal["closed", "half-open", "open"]
Verdict = Literal["good", "failed", "unknown"]
"""`unknown`: the call was given up, and says nothing about the server."""

AWAY = frozenset(
    {
        "server.lost",
        "server.timeout",
        "server.unreachable",
        "server.no_answer",
        "server.http_error",
        "server.unavailable",
    }
)
"""Failures that say that a server is away or stuck. Its own errors are answers, and say that it is well."""


def verdict_of(failure: GarrisonError | None) -> Verdict:
    """What an outcome says about the server."""
    if failure is None:
        return "good"
    return "failed" if failure.code in AWAY else "unknown"


@dataclass(frozen=True)
class BreakerPolicy:
    """`failed_in_a_row` 0 and `failed_share` over 1 switch a rule off."""

    failed_share: float = 0.5
    """Of the calls within `window_s`, once there are `calls_min`."""
    calls_min: int = 20
    window_s: int = 10
    failed_in_a_row: int = 5
    open_first_s: float = 30.0
    open_max_s: float = 300.0
    probes: int = 10
    """So many calls at once try a server out, and so many must be good before it counts as well again."""


class Judge(Protocol):
    """Whoever let a call through and wants to hear what became of it."""

    def tell(self, permit: Permit, verdict: Verdict, now_s: float) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """A call may go; its verdict comes back with this. One from before the last change of state counts for nothing."""

    breaker: Judge


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; `after_s` is when it can be tried again."""

    after_s: float


class Breaker:
    """One server's breaker. All times are monotonic seconds."""

    __slots__ = (
        "_calls",
        "_failed",
        "_good_probes",
        "_open_s",
        "_policy",
        "_probing",
        "_row",
        "_second",
        "_slot",
        "_until_s",
        "opened",
        "permit",
        "state",
    )

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self.state: State = "closed"
        self.opened = 0
        """How often it has opened."""
        self.permit = Permit(self)
        """What calls get that are let through in the present state."""
        self._calls = [0] * policy.window_s
        self._failed = [0] * policy.window_s
        self._second = 0
        self._slot = 0
        """Its place in the window."""
        self._row = 0
        self._until_s = 0.0
        self._open_s = policy.open_first_s
        self._probing = 0
        self._good_probes = 0

    def ask(self, now_s: float) -> Permit | Wait:
        """May a call go to the server?"""
        if self.state == "closed":
            return self.permit
        if self.state == "open":
            if now_s < self._until_s:
                return Wait(self._until_s - now_s)
            self._become("half-open")
        if self._probing >= self._policy.probes:
            return Wait(1.0)
        self._probing += 1
        return self.permit

    def wait_s(self, now_s: float) -> float:
        """Seconds until a call may go; 0 when one may go now. Changes nothing."""
        if self.state == "open":
            return max(0.0, self._until_s - now_s)
        return 1.0 if self.state == "half-open" and self._probing >= self._policy.probes else 0.0

    def tell(self, permit: Permit, verdict: Verdict, now_s: float) -> None:
        """What became of a call that was let through."""
        if permit is not self.permit:
            return
        if self.state == "half-open":
            self._judge_probe(verdict, now_s)
        elif verdict != "unknown":
            if int(now_s) != self._second:
                self._move_on(int(now_s))
            self._calls[self._slot] += 1
            if verdict == "good":
                self._row = 0
            else:
                self._count_failure(now_s)

    def reconnected(self) -> None:
        """Another instance serves now: what the one before did is no reason to refuse, but it is tried out first."""
        self._become("closed" if self.state == "closed" else "half-open")

    def _judge_probe(self, verdict: Verdict, now_s: float) -> None:
        self._probing -= 1
        if verdict == "failed":
            self._open_s = min(self._open_s * 2, self._policy.open_max_s)
            self._open(now_s)
        elif verdict == "good":
            self._good_probes += 1
            if self._good_probes >= self._policy.probes:
                self._open_s = self._policy.open_first_s
                self._become("closed")

    def _count_failure(self, now_s: float) -> None:
        self._failed[self._slot] += 1
        self._row += 1
        policy, calls = self._policy, sum(self._calls)
        in_a_row = policy.failed_in_a_row and self._row >= policy.failed_in_a_row
        if in_a_row or (calls >= policy.calls_min and sum(self._failed) >= policy.failed_share * calls):
            self._open(now_s)

    def _move_on(self, second: int) -> None:
        """Another second has begun: places that have left the window are emptied."""
        width = self._policy.window_s
        for passed in range(max(self._second + 1, second - width + 1), second + 1):
            self._calls[passed % width] = self._failed[passed % width] = 0
        self._second = second
        self._slot = second % width

    def _open(self, now_s: float) -> None:
        self._until_s = now_s + self._open_s
        self.opened += 1
        self._become("open")

    def _become(self, state: State) -> None:
        self.state = state
        self.permit = Permit(self)
        self._row = self._probing = self._good_probes = 0
        self._calls = [0] * self._policy.window_s
        self._failed = [0] * self._policy.window_s
