"""The arithmetic of limits: what may still be used of a rate or a quota, and when there is more. Pure.

Time comes in: monotonic seconds for rates, wall nanoseconds for quotas, which follow the calendar.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

Period = Literal["day", "month"]

DRAWN_S = 0.1
"""Of a shared rate, a gateway draws what it brings in so many seconds."""

_NS = 1_000_000_000


class Purse(Protocol):
    """Something that can be used up. Amounts are in whatever it counts."""

    def wait_s(self, amount: float, now_s: float, wall_ns: int) -> float:
        """Seconds until this much may be used: 0 for now, infinite for never."""
        ...

    def take(self, amount: float, now_s: float, wall_ns: int) -> None:
        """Use it, asked or not: what is known only afterwards makes debts."""
        ...

    def left(self, now_s: float, wall_ns: int) -> float: ...


@dataclass(slots=True)
class Bucket:
    """Fills by `per_s` up to `capacity`: within any t seconds no more than capacity + per_s·t can be taken."""

    capacity: float
    per_s: float
    level: float
    seen_s: float

    def wait_s(self, amount: float, now_s: float, wall_ns: int = 0) -> float:
        self._fill(now_s)
        if self.level >= amount:
            return 0.0
        return math.inf if amount > self.capacity else (amount - self.level) / self.per_s

    def take(self, amount: float, now_s: float, wall_ns: int = 0) -> None:
        self._fill(now_s)
        self.level = min(self.capacity, self.level - amount)

    def left(self, now_s: float, wall_ns: int = 0) -> float:
        self._fill(now_s)
        return self.level

    def is_full(self, now_s: float) -> bool:
        return self.left(now_s) >= self.capacity

    def _fill(self, now_s: float) -> None:
        """A clock that goes back fills nothing, and what it then goes on from is the new now."""
        if now_s > self.seen_s:
            self.level = min(self.capacity, self.level + (now_s - self.seen_s) * self.per_s)
        self.seen_s = now_s


@dataclass(slots=True)
class Elsewhere:
    """Where several gateways keep what they count together, and whether it can be reached now."""

    open_without: bool
    """What happens while it is away: each counts for itself, or all is refused."""
    is_away: bool = False

    @property
    def refuses(self) -> bool:
        return self.is_away and not self.open_without


@dataclass(slots=True)
class Share:
    """What was drawn in advance from a bucket that several gateways use; nothing is given that was not drawn."""

    own: Bucket
    """The same bounds, for us alone: what counts while the other bucket is away."""
    elsewhere: Elsewhere
    held: float = 0.0
    again_s: float = 0.0
    """When there may be more to draw."""
    used_s: float = 0.0

    @property
    def batch(self) -> float:
        """What is drawn at once: a tenth of a second's worth, and never more than a tenth of a burst."""
        return float(max(1, int(min(self.own.per_s * DRAWN_S, self.own.capacity / 10))))

    def wait_s(self, amount: float, now_s: float, wall_ns: int = 0) -> float:
        if self.elsewhere.is_away:
            return self.own.wait_s(amount, now_s)
        return 0.0 if self.held >= amount else max(self.again_s - now_s, 1e-3)

    def take(self, amount: float, now_s: float, wall_ns: int = 0) -> None:
        self.own.take(amount, now_s)
        self.used_s = now_s
        if not self.elsewhere.is_away:
            self.held -= amount

    def left(self, now_s: float, wall_ns: int = 0) -> float:
        """As far as this gateway knows."""
        return self.own.left(now_s)

    def is_short(self, now_s: float) -> bool:
        """Whether it is worth asking for more before the next call."""
        return self.held < 1 and not self.elsewhere.is_away and now_s >= self.again_s

    def is_low(self, now_s: float) -> bool:
        return self.held < self.batch / 2 and not self.elsewhere.is_away and now_s >= self.again_s


@dataclass(slots=True)
class Quota:
    """So much within one day or month of the calendar (UTC)."""

    amount: float
    period: Period
    starts_ns: int = 0
    ends_ns: int = 0
    used: float = 0.0
    unsaved: float = 0.0
    """Used since somebody last wrote it down."""

    def wait_s(self, amount: float, now_s: float, wall_ns: int) -> float:
        self._turn(wall_ns)
        if self.used + amount <= self.amount:
            return 0.0
        return math.inf if amount > self.amount else (self.ends_ns - wall_ns) / _NS

    def take(self, amount: float, now_s: float, wall_ns: int) -> None:
        self._turn(wall_ns)
        self.used += amount
        self.unsaved += amount

    def left(self, now_s: float, wall_ns: int) -> float:
        self._turn(wall_ns)
        return self.amount - self.used

    def learn(self, starts_ns: int, used: float) -> None:
        """What was written down of this window, by whomever; what is not written yet comes on top."""
        if starts_ns == self.starts_ns:
            self.used = max(self.used, used + self.unsaved)

    def _turn(self, wall_ns: int) -> None:
        """The next window begins at nothing. A clock that was put back begins none: what was used stays used."""
        if self.starts_ns <= wall_ns < self.ends_ns:
            return
        forward = wall_ns >= self.ends_ns
        self.starts_ns, self.ends_ns = window_of(self.period, wall_ns)
        if forward:
            self.used = self.unsaved = 0.0


def window_of(period: Period, wall_ns: int) -> tuple[int, int]:
    """The day or month that this moment is in, as its first nanosecond and the first one after it."""
    moment = datetime.fromtimestamp(wall_ns // _NS, UTC)
    first = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return _ns(first), _ns(first + timedelta(days=1))
    first = first.replace(day=1)
    return _ns(first), _ns((first + timedelta(days=32)).replace(day=1))


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NS
