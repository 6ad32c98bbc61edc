"""The meters of limits: one for each rule and whom it counts, made when first used, bounded in number.

What concerns a call is looked up once and kept in a `Concern`; counting a call is arithmetic on it (`policy.limits`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from garrison.catalog.limits import LimitSpec
from garrison.identity.principals import Principal
from garrison.policy import limits
from garrison.policy.buckets import Elsewhere, Share
from garrison.policy.limits import OTHERS, SEPARATOR, Meter, Refusal, Rule, Saved, Used
from garrison.telemetry.metrics import Metrics

METERS_MAX = 100_000
USED_MAX = 100_000
CONCERNS_MAX = 10_000


class Drawing(Protocol):
    """How a gateway comes by its part of what several use together."""

    elsewhere: Elsewhere

    def ask(self, meter: Meter) -> None:
        """More is needed soon."""

    async def draw(self, meters: Iterable[Meter]) -> None:
        """More is needed now; returns when it is known how much there is."""


@dataclass(slots=True, eq=False)
class Concern:
    """What counts calls of one kind. Lives as long as `Metering.edition` stays the same."""

    meters: tuple[Meter, ...]
    shares: tuple[tuple[Meter, Share], ...]
    is_shared: bool
    used: Used


class Metering:
    """`recall` gives what was written down of a meter's quotas. `count_tokens`: of a result of so many bytes."""

    def __init__(
        self,
        specs: Mapping[str, LimitSpec],
        monotonic_s: Callable[[], float],
        wall_ns: Callable[[], int],
        metrics: Metrics,
        recall: Callable[[str], Iterable[Saved]] = lambda key: (),
        count_tokens: Callable[[int], int] = limits.estimated_tokens,
    ) -> None:
        self._now_s, self._wall_ns = monotonic_s, wall_ns
        self._count_tokens = count_tokens
        self._rules = limits.compiled(specs)
        self._meters: dict[str, Meter] = {}
        self._concerns: dict[tuple[object, ...], Concern] = {}
        self._used: dict[tuple[str, str, str], Used] = {}
        self.drawing: Drawing | None = None
        self.recall = recall
        self.has_peers = False
        """Whether other workers count at the same."""
        self._touched: set[Meter] = set()
        self.edition = object()
        """Another one whenever what concerns a call may be something else."""
        self.is_idle = not self._rules
        """Whether there is no rule at all."""
        labels = ("limit", "code")
        self._refused = metrics.counter("garrison.limit.refused", "Calls that a limit refused.", labels)
        about = "Meters of limits that are kept: one for each limit and whom it counts."
        metrics.gauge("garrison.limit.meters", about).cell().read_from(lambda: len(self._meters))

    def replace(self, specs: Mapping[str, LimitSpec]) -> None:
        """Other rules. What was used of those that stay stays used; of quotas also where their amount is another."""
        kept = {rule.name: rule.spec for rule in self._rules}
        self._rules = limits.compiled(specs)
        self.is_idle = not self._rules
        by_name = {rule.name: rule for rule in self._rules}
        for key, meter in tuple(self._meters.items()):
            rule = by_name.get(meter.rule.name)
            if rule is None or rule.spec.per != meter.rule.spec.per:
                del self._meters[key]
            elif rule.spec != kept[rule.name]:
                _carry_over(meter, self._make(rule, meter.subject, meter.label, meter.principal))
        self._renew()

    def meters(self) -> list[Meter]:
        return list(self._meters.values())

    # ── calls ──

    def concern(self, principal: Principal, kind: str, server: str, name: str) -> Concern | None:
        """What counts such calls; None where no rule does."""
        if self.is_idle:
            return None
        key = (principal, kind, server, name)
        found = self._concerns.get(key)
        if found is None:
            found = self._find(principal, kind, server, name)
            if len(self._concerns) >= CONCERNS_MAX:
                self._concerns.clear()
            self._concerns[key] = found
        return found if found.meters else None

    def admits(self, concern: Concern, size: int) -> bool:
        """Count a call in, if no limit is in its way; the same decision as `refusal`'s, without the reasons."""
        if self.refusal(concern, size) is not None:
            return False
        self.enter(concern, size)
        return True

    def refusal(self, concern: Concern, size: int) -> Refusal | None:
        if concern.is_shared and self.drawing is not None and self.drawing.elsewhere.refuses:
            message = "what limits have counted is kept elsewhere, which cannot be reached"
            hint = "see `garrison limits show`; limits.without_redis says what happens meanwhile"
            return Refusal(concern.meters[0], "limit.store_away", message, hint, 1.0)
        return limits.refusal(concern.meters, size, self._now_s(), self._wall_ns())

    def refused(self, concern: Concern, refusal: Refusal) -> None:
        concern.used.refused += 1
        refusal.meter.refused += 1
        self._refused.cell(refusal.meter.rule.name, refusal.code).add()

    def enter(self, concern: Concern, size: int) -> None:
        now_s, used = self._now_s(), concern.used
        limits.enter(concern.meters, size, now_s, self._wall_ns())
        self._touched.update(concern.meters)
        used.calls += 1
        used.bytes_in += size
        for meter, share in concern.shares:
            if self.drawing is not None and share.is_low(now_s):
                self.drawing.ask(meter)

    def undo(self, concern: Concern, size: int) -> None:
        """The call was not made after all."""
        limits.undo(concern.meters, size, self._now_s(), self._wall_ns())
        concern.used.calls -= 1
        concern.used.bytes_in -= size

    def leave(self, concern: Concern, size: int) -> None:
        """It has ended, with a result of so many bytes."""
        tokens, used = self._count_tokens(size), concern.used
        limits.leave(concern.meters, size, tokens, self._now_s(), self._wall_ns())
        self._touched.update(concern.meters)
        used.bytes_out += size
        used.result_tokens += tokens

    def short(self, concern: Concern) -> list[Meter]:
        """Those of which more has to be drawn before it can be said whether a call may be made."""
        now_s = self._now_s()
        return [meter for meter, share in concern.shares if share.is_short(now_s)]

    # ── their life ──

    def known(self, key: str) -> Meter | None:
        return self._meters.get(key)

    def now_s(self) -> float:
        return self._now_s()

    def meter(self, key: str) -> Meter | None:
        """The meter of this key, made if there is none; None where its rule is not here."""
        found = self._meters.get(key)
        if found is None:
            name, _, subject = key.partition(SEPARATOR)
            rule = next((rule for rule in self._rules if rule.name == name), None)
            found = self._make(rule, subject, subject, "") if rule is not None else None
        return found

    def used_up(self) -> list[Used]:
        """What was used since this was last asked for; whoever asks writes it down."""
        found = [one for one in self._used.values() if one.calls or one.refused or one.bytes_out]
        copies = [replace(one) for one in found]
        for one in found:
            one.calls = one.refused = one.bytes_in = one.bytes_out = one.result_tokens = 0
        if len(self._used) > USED_MAX // 2:
            self._used.clear()
            self._renew()
        return copies

    def touched(self) -> set[Meter]:
        """The meters at which something was counted since this was last asked."""
        found, self._touched = self._touched, set()
        return found

    def sweep(self) -> None:
        """Forget meters that could be made anew without anybody noticing."""
        now_s = self._now_s()
        idle = [key for key, meter in self._meters.items() if meter.is_idle(now_s)]
        for key in idle:
            del self._meters[key]
        if idle:
            self._renew()

    def _renew(self) -> None:
        self._concerns.clear()
        self.edition = object()

    def _find(self, principal: Principal, kind: str, server: str, name: str) -> Concern:
        meters = tuple(
            self._meter_for(rule, principal, server, name)
            for rule in self._rules
            if rule.concerns(principal, kind, server, name)
        )
        shares = tuple((meter, share) for meter in meters for share in meter.shares())
        tool = name if kind == "tool" else ""
        return Concern(meters, shares, any(meter.is_shared for meter in meters), self._used_by(principal, server, tool))

    def _used_by(self, principal: Principal, server: str, tool: str) -> Used:
        key = (principal.id, server, tool)
        if len(self._used) >= USED_MAX and key not in self._used:
            key = (OTHERS, OTHERS, OTHERS)
        name = principal.name if key[0] != OTHERS else OTHERS
        return self._used.setdefault(key, Used(key[0], name, key[1], key[2]))

    def _meter_for(self, rule: Rule, principal: Principal, server: str, name: str) -> Meter:
        subject = rule.subject(principal, server, name)
        key = rule.name + SEPARATOR + subject
        if len(self._meters) >= METERS_MAX and key not in self._meters:
            self.sweep()
            if len(self._meters) >= METERS_MAX:
                subject = OTHERS
                key = rule.name + SEPARATOR + subject
        found = self._meters.get(key) or self._make(rule, subject, subject, "")
        if found.label == subject != OTHERS:  # nobody has said yet who that is: another worker was first
            found.label = _label(rule, principal, server, name)
            found.principal = principal.id if "principal" in rule.spec.per else ""
        return found

    def _make(self, rule: Rule, subject: str, label: str, principal: str) -> Meter:
        elsewhere = self.drawing.elsewhere if self.drawing is not None else None
        meter = limits.meter_of(rule, subject, label, principal, self._now_s(), elsewhere)
        quotas = list(meter.quotas())
        if quotas:
            saved = {(one.metric, one.period): one for one in self.recall(meter.key)}
            for metric, quota in quotas:
                quota.left(self._now_s(), self._wall_ns())
                if (one := saved.get((metric, quota.period))) is not None:
                    quota.learn(one.starts_ns, one.used)
        meter.tells = meter.is_shared or self.has_peers
        self._meters[meter.key] = meter
        return meter


def _carry_over(former: Meter, meter: Meter) -> None:
    """Of quotas that both have: what was used."""
    known = {(metric, quota.period): quota for metric, quota in former.quotas()}
    for metric, quota in meter.quotas():
        if (before := known.get((metric, quota.period))) is not None:
            quota.starts_ns, quota.ends_ns = before.starts_ns, before.ends_ns
            quota.used, quota.unsaved = before.used, before.unsaved


def _label(rule: Rule, principal: Principal, server: str, name: str) -> str:
    per = rule.spec.per
    where = f"{server}/{name}" if "tool" in per else server if "server" in per else ""
    if "principal" in per:
        return f"{principal.name} at {where}" if where else principal.name
    return f"everybody at {where}" if where else "everybody together"
