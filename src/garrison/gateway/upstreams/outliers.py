"""Which instances of a server stand out by failing or by being slow, and for how long they are left out. Pure.

Time comes in as an argument. In the manner of Envoy's outlier detection: never more than a share of the instances at
once, each for a time that grows, and back by one good call.

in ──it stands out, and there is room──► out ──its time is over──► on probation ──a good call──► in
                                          ▲                             │
                                          └────── failed: out twice as long
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

Place = Literal["in", "out", "on probation"]

SAMPLES = 32
"""The last calls of an instance, by which it is judged."""

JUDGE_EVERY_S = 1.0


@dataclass(frozen=True)
class OutlierPolicy:
    """`failed_in_a_row` 0, `failed_more` over 1 and `slower_times` 0 switch a rule off, `ejected_share_max` 0 all."""

    failed_in_a_row: int = 3
    failed_more: float = 0.3
    """By how much its share of failures is above that of the others."""
    slower_times: float = 5.0
    """By how much its median is above that of the others."""
    slower_s: float = 0.1
    """Differences below this matter to nobody."""
    calls_min: int = 10
    """An instance with fewer calls is not compared with others."""
    ejected_share_max: float = 0.5
    eject_first_s: float = 10.0
    eject_max_s: float = 300.0


@dataclass(frozen=True)
class Record:
    """What is known of one instance that is in."""

    in_a_row: int = 0
    """Failures since the last good call."""
    calls: int = 0
    failed: int = 0
    median_s: float = 0.0
    """Of its good calls."""


def room(policy: OutlierPolicy, instances: int) -> int:
    """How many of so many instances may be out at once: one is always left."""
    if instances < 2 or policy.ejected_share_max <= 0:
        return 0
    return min(instances - 1, max(1, int(instances * policy.ejected_share_max)))


def stand_out(policy: OutlierPolicy, records: Mapping[int, Record]) -> list[int]:
    """The instances that should be out, the worst first."""
    found = {}
    for number, record in records.items():
        others = [other for one, other in records.items() if one != number and other.calls >= policy.calls_min]
        worse = _failures(policy, record, others)
        if worse or _is_slow(policy, record, others):
            found[number] = worse
    return sorted(found, key=lambda number: (-found[number], -records[number].median_s, number))


def _failures(policy: OutlierPolicy, record: Record, others: list[Record]) -> float:
    """How much worse it is by its failures; 0 where it does not stand out."""
    if policy.failed_in_a_row and record.in_a_row >= policy.failed_in_a_row:
        return 1.0 + record.in_a_row
    if record.calls < policy.calls_min or not others:
        return 0.0
    more = record.failed / record.calls - fmean(other.failed / other.calls for other in others)
    return more if more >= policy.failed_more else 0.0


def _is_slow(policy: OutlierPolicy, record: Record, others: list[Record]) -> bool:
    if not policy.slower_times or record.calls < policy.calls_min or not others:
        return False
    usual_s = median(other.median_s for other in others)
    return record.median_s > usual_s * policy.slower_times and record.median_s - usual_s > policy.slower_s


class _Judged:
    """One instance: its last calls, and its ejections."""

    __slots__ = ("back_s", "failed", "in_a_row", "out_s", "took_s", "until_s")

    def __init__(self) -> None:
        self.failed: deque[bool] = deque(maxlen=SAMPLES)
        self.took_s: deque[float] = deque(maxlen=SAMPLES)
        self.in_a_row = 0
        self.until_s: float | None = None
        """The end of its ejection; None while it is in."""
        self.out_s = 0.0
        """How long its last ejection was; 0 when it is forgotten."""
        self.back_s = 0.0

    def clear(self) -> None:
        self.failed.clear()
        self.took_s.clear()
        self.in_a_row = 0

    def record(self) -> Record:
        middle = median(self.took_s) if self.took_s else 0.0
        return Record(self.in_a_row, len(self.failed), sum(self.failed), middle)


class Outliers:
    """The instances of one server, by number. All times are monotonic seconds."""

    def __init__(self, policy: OutlierPolicy) -> None:
        self._policy = policy
        self._judged: dict[int, _Judged] = {}
        self._next_s = 0.0
        self.ejections = 0
        """How often one was ejected."""

    def serve(self, numbers: Iterable[int]) -> None:
        """These instances serve now: new ones are in, and where room has become too small, the first come back."""
        wanted = list(numbers)
        self._judged = {number: self._judged.get(number) or _Judged() for number in wanted}
        out = sorted((one.until_s, number) for number, one in self._judged.items() if one.until_s is not None)
        for _, number in out[: max(0, len(out) - room(self._policy, len(wanted)))]:
            self._let_in(self._judged[number], 0.0)

    def forget(self, number: int) -> None:
        """Another life of this instance serves: what the one before did says nothing of it."""
        if number in self._judged:
            self._judged[number] = _Judged()

    def place(self, number: int, now_s: float) -> Place:
        one = self._judged.get(number)
        if one is None or one.until_s is None:
            return "in"
        return "out" if now_s < one.until_s else "on probation"

    def out(self) -> list[int]:
        """Those that are ejected, on probation included."""
        return [number for number, one in self._judged.items() if one.until_s is not None]

    def tell(self, number: int, *, good: bool, took_s: float, now_s: float, probe: bool = False) -> None:
        """What became of a call. Of an ejected one, only what was sent as a probe counts."""
        one = self._judged.get(number)
        if one is None:
            return
        if one.until_s is not None:
            if probe:
                self._judge_probe(one, good=good, now_s=now_s)
            return
        one.failed.append(not good)
        if good:
            one.in_a_row = 0
            one.took_s.append(took_s)
        else:
            one.in_a_row += 1
        if now_s >= self._next_s or (not good and one.in_a_row == self._policy.failed_in_a_row):
            self._judge(now_s)

    def _judge_probe(self, one: _Judged, *, good: bool, now_s: float) -> None:
        if good:
            self._let_in(one, now_s)
        else:
            self._eject(one, now_s)

    def _judge(self, now_s: float) -> None:
        self._next_s = now_s + JUDGE_EVERY_S
        free = room(self._policy, len(self._judged)) - len(self.out())
        if free > 0:
            records = {number: one.record() for number, one in self._judged.items() if one.until_s is None}
            for number in stand_out(self._policy, records)[:free]:
                self._eject(self._judged[number], now_s)

    def _eject(self, one: _Judged, now_s: float) -> None:
        """Out for twice as long as the last time, unless it has been in for long."""
        policy = self._policy
        if one.until_s is None and now_s - one.back_s > policy.eject_max_s:
            one.out_s = 0.0
        one.out_s = min(one.out_s * 2 or policy.eject_first_s, policy.eject_max_s)
        one.until_s = now_s + one.out_s
        one.clear()
        self.ejections += 1

    def _let_in(self, one: _Judged, now_s: float) -> None:
        one.until_s, one.back_s = None, now_s
        one.clear()
