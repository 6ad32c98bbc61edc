"""When to start a server again after it ended, and when to give up. Pure: time and chance come in as arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

AT_ONCE_S = 0.1
"""The first restart after a good life: a killed server is back within a second."""


@dataclass(frozen=True)
class RestartPolicy:
    first_s: float = 1.0
    cap_s: float = 60.0
    starts_max: int = 5
    """So many starts within `window_s` are tried; then it is a crash loop."""
    window_s: float = 30.0
    stable_s: float = 60.0
    """After running so long, earlier failures are forgotten."""
    patient: bool = False
    """Never give up: for servers that others run."""


@dataclass(frozen=True)
class History:
    """`starts`: when, on the monotonic clock; only those that still matter. `failures`: in a row."""

    starts: tuple[float, ...] = ()
    failures: int = 0


@dataclass(frozen=True)
class Again:
    delay_s: float
    history: History


@dataclass(frozen=True)
class GiveUp:
    reason: str
    history: History


def started(policy: RestartPolicy, history: History, now_s: float) -> History:
    """Note a start."""
    kept = tuple(start for start in history.starts if now_s - start < policy.window_s)
    return replace(history, starts=(*kept, now_s))


def ended(
    policy: RestartPolicy, history: History, now_s: float, ran_s: float, chance: Callable[[], float]
) -> Again | GiveUp:
    """Judge an end that nobody asked for.

    `ran_s`: how long it was ready for work, 0 when it never was. `chance`: uniform in [0, 1).
    """
    if ran_s >= policy.stable_s:
        history = replace(history, failures=0)
    recent = [start for start in history.starts if now_s - start < policy.window_s]
    if not policy.patient and len(recent) >= policy.starts_max:
        reason = f"it was started {len(recent)} times within {policy.window_s:g} s and did not stay up"
        return GiveUp(reason, history)
    delay = _delay(policy, history.failures, ran_s, chance())
    return Again(delay, replace(history, failures=history.failures + 1))


def _delay(policy: RestartPolicy, failures: int, ran_s: float, chance: float) -> float:
    """Doubling from `first_s` to `cap_s`; the upper half of it is left to chance, so that neighbours spread out."""
    if failures == 0 and ran_s > 0:
        return min(AT_ONCE_S, policy.first_s)
    steps = failures - 1 if ran_s > 0 else failures
    whole = min(policy.cap_s, policy.first_s * 2.0 ** min(steps, 60))
    return whole * (0.5 + chance / 2)
