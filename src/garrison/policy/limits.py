"""Which limits concern a call, and whether it may be made. Pure: rules and what was used in, a refusal or None out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Final, NamedTuple

from garrison.catalog.limits import METRICS, AmountsSpec, LimitSpec, Metric, amount_of, rate_of
from garrison.identity.principals import Principal
from garrison.policy.buckets import Bucket, Elsewhere, Period, Purse, Quota, Share

BYTES_PER_TOKEN: Final = 4
"""The estimate that providers of models give for English text and code."""
SEPARATOR: Final = "\x1f"
OTHERS: Final = "(others)"
"""The subject of whoever comes when no more are told apart."""


class Rule:
    """A limit, its patterns compiled."""

    def __init__(self, name: str, spec: LimitSpec) -> None:
        self.name = name
        self.spec = spec
        self._principals, self._servers, self._tools = (
            _any_of(patterns) for patterns in (spec.principals, spec.servers, spec.tools)
        )
        self._only_tools = spec.tools != ("*",)
        self._roles, self._groups = frozenset(spec.roles), frozenset(spec.groups)

    def concerns(self, principal: Principal, kind: str, server: str, name: str) -> bool:
        if not self._servers.match(server) or (self._only_tools and kind != "tool"):
            return False
        if kind == "tool" and not self._tools.match(name):
            return False
        if (self._roles and self._roles.isdisjoint(principal.roles)) or (
            self._groups and self._groups.isdisjoint(principal.groups)
        ):
            return False
        return bool(self._principals.match(principal.name) or self._principals.match(principal.id))

    def subject(self, principal: Principal, server: str, name: str) -> str:
        """What is counted together: the parts that `per` names, readable and always in one order."""
        parts = {"principal": principal.id, "server": server, "tool": f"{server}/{name}"}
        return SEPARATOR.join(parts[part] for part in ("principal", "server", "tool") if part in self.spec.per)


@dataclass(slots=True, eq=False)
class Meter:
    """What one rule counts for one subject."""

    rule: Rule
    subject: str
    label: str
    """The subject for people: `ada`, `ada at git/git_log`."""
    principal: str
    """Its id, where the rule counts each by itself."""
    purses: tuple[tuple[Metric, Purse], ...]
    concurrent: float
    in_flight: int = 0
    """Here and, as far as is known, elsewhere."""
    elsewhere: int = 0
    tells: bool = False
    """Whether anybody else counts at the same: other workers, or other gateways."""
    spent: dict[Metric, float] = field(default_factory=lambda: dict.fromkeys(METRICS, 0.0))
    """Since others were last told."""
    told: int = 0
    """Calls in flight here, when others were last told."""
    is_shared: bool = False
    """Whether other gateways count at the same."""
    refused: int = 0
    key: str = ""

    def __post_init__(self) -> None:
        self.key = self.rule.name + SEPARATOR + self.subject

    @property
    def here(self) -> int:
        return self.in_flight - self.elsewhere

    def quotas(self) -> Iterable[tuple[Metric, Quota]]:
        return ((metric, purse) for metric, purse in self.purses if isinstance(purse, Quota))

    def shares(self) -> Iterable[Share]:
        return (purse for _, purse in self.purses if isinstance(purse, Share))

    def is_idle(self, now_s: float) -> bool:
        """Whether it could be made anew without anybody noticing."""
        if self.in_flight or any(self.spent.values()):
            return False
        for _, purse in self.purses:
            bucket = purse.own if isinstance(purse, Share) else purse
            if isinstance(bucket, Bucket) and not bucket.is_full(now_s):
                return False
            if isinstance(purse, Share) and purse.held > 0:
                return False
            if isinstance(purse, Quota) and purse.unsaved:
                return False
        return True


class Saved(NamedTuple):
    """What a quota had used up in a window, as it was written down. `key`: rule and subject."""

    key: str
    metric: Metric
    period: Period
    starts_ns: int
    used: float


@dataclass(slots=True, eq=False)
class Used:
    """What calls of one principal and tool have used since it was last written down."""

    principal: str
    name: str
    server: str
    tool: str
    calls: int = 0
    refused: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    result_tokens: int = 0


class Refusal(NamedTuple):
    """`wait_s`: infinite where no rest helps."""

    meter: Meter
    code: str
    message: str
    hint: str
    wait_s: float


def compiled(specs: Mapping[str, LimitSpec]) -> tuple[Rule, ...]:
    return tuple(Rule(name, spec) for name, spec in specs.items())


def meter_of(
    rule: Rule, subject: str, label: str, principal: str, now_s: float, elsewhere: Elsewhere | None = None
) -> Meter:
    """A meter at which nothing was used yet. `elsewhere`: where it is counted, if not here alone."""
    spec = rule.spec
    shared = elsewhere if spec.shared else None
    purses: list[tuple[Metric, Purse]] = []
    for metric in METRICS:
        if rate := getattr(spec, metric):
            capacity, per_s = bounds_of(spec, metric, rate)
            bucket = Bucket(capacity, per_s, capacity, now_s)
            drawn = shared is not None and metric == "calls"
            purses.append((metric, Share(bucket, shared) if shared is not None and drawn else bucket))
    purses += _quotas(spec.daily, "day")
    purses += _quotas(spec.monthly, "month")
    most, is_shared = spec.concurrent or math.inf, shared is not None
    return Meter(rule, subject, label, principal, tuple(purses), most, is_shared=is_shared, tells=is_shared)


def bounds_of(spec: LimitSpec, metric: Metric, rate: str) -> tuple[float, float]:
    """Of a rate: what may be used at once, and per second in the long run."""
    amount, period_s = rate_of(rate)
    capacity = spec.burst if metric == "calls" and spec.burst else max(1.0, amount)
    return float(capacity), amount / period_s


def refusal(meters: Sequence[Meter], size: int, now_s: float, wall_ns: int) -> Refusal | None:
    """Why a call with a request of so many bytes may not be made now: of several reasons the one that lasts longest."""
    worst: Refusal | None = None
    for meter in meters:
        found = _refusal(meter, size, now_s, wall_ns)
        if found is not None and (worst is None or found.wait_s > worst.wait_s):
            worst = found
    return worst


def enter(meters: Sequence[Meter], size: int, now_s: float, wall_ns: int) -> None:
    """A call is made."""
    for meter in meters:
        meter.in_flight += 1
        _take(meter, "calls", 1, now_s, wall_ns)
        _take(meter, "bytes_in", size, now_s, wall_ns)


def undo(meters: Sequence[Meter], size: int, now_s: float, wall_ns: int) -> None:
    """It was not made after all."""
    for meter in meters:
        meter.in_flight -= 1
        _take(meter, "calls", -1, now_s, wall_ns)
        _take(meter, "bytes_in", -size, now_s, wall_ns)


def leave(meters: Sequence[Meter], size: int, tokens: int, now_s: float, wall_ns: int) -> None:
    """It has ended, with a result of so many bytes."""
    for meter in meters:
        meter.in_flight -= 1
        if size:
            _take(meter, "bytes_out", size, now_s, wall_ns)
            _take(meter, "result_tokens", tokens, now_s, wall_ns)


def estimated_tokens(size_bytes: int) -> int:
    return -(-size_bytes // BYTES_PER_TOKEN)


def _refusal(meter: Meter, size: int, now_s: float, wall_ns: int) -> Refusal | None:
    if meter.in_flight >= meter.concurrent:
        message = f"the limit {meter.rule.name} lets {meter.label} make {meter.concurrent:g} calls at once"
        return Refusal(meter, "limit.concurrent", message, "wait for answers", 1.0)
    worst: Refusal | None = None
    for metric, purse in meter.purses:
        needed = size if metric == "bytes_in" else 1
        wait_s = purse.wait_s(needed, now_s, wall_ns)
        if wait_s > 0 and (worst is None or wait_s > worst.wait_s):
            worst = _used_up(meter, metric, purse, wait_s)
    return worst


def _used_up(meter: Meter, metric: Metric, purse: Purse, wait_s: float) -> Refusal:
    words = metric.replace("_", " ")
    if isinstance(purse, Quota):
        told = f"{purse.amount:.15g} {words} per {purse.period}"
        code, hint = f"limit.{_LY[purse.period]}_{metric}", f"the next {purse.period} begins at 00:00 UTC"
    else:
        amount, period = re.split(" ?/ ?", getattr(meter.rule.spec, metric))
        told, code, hint = f"{amount} {words} per {period}", f"limit.{metric}", "slow down"
    if wait_s == math.inf:
        hint = "this one request is larger than the whole limit: no rest helps"
    return Refusal(meter, code, f"the limit {meter.rule.name} lets {meter.label} use {told}", hint, wait_s)


_LY: Final[dict[Period, str]] = {"day": "daily", "month": "monthly"}


def _take(meter: Meter, metric: Metric, amount: float, now_s: float, wall_ns: int) -> None:
    if meter.tells:
        meter.spent[metric] += amount
    for counted, purse in meter.purses:
        if counted == metric:
            purse.take(amount, now_s, wall_ns)


def _quotas(amounts: AmountsSpec, period: Period) -> list[tuple[Metric, Purse]]:
    given = [(metric, amount_of(getattr(amounts, metric))) for metric in METRICS]
    return [(metric, Quota(amount, period)) for metric, amount in given if amount]


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all shell-style patterns; nothing fits none."""
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns) or r"(?!)")
