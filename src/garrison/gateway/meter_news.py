"""What meters tell: to the disk, for quotas, and to other workers of the fleet, for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from garrison.catalog.limits import METRICS
from garrison.gateway.metering import Metering
from garrison.policy.buckets import Bucket, Quota
from garrison.policy.limits import Meter, Saved

Report = dict[str, list[float]]
"""By meter: what was spent since the last report, in the order of `METRICS`, and the calls in flight."""

_IN_FLIGHT: Final = len(METRICS)


class MeterNews:
    def __init__(self, metering: Metering) -> None:
        self._metering = metering
        self._in_flight: dict[int, dict[str, int]] = {}

    # ── the disk ──

    def unsaved(self, touched: Iterable[Meter]) -> list[Saved]:
        """What quotas have counted since; whoever takes it writes it down, or brings it back."""
        found = []
        for meter in touched:
            for metric, quota in meter.quotas():
                if quota.unsaved:
                    found.append(Saved(meter.key, metric, quota.period, quota.starts_ns, quota.unsaved))
                    quota.unsaved = 0.0
        return found

    def not_saved(self, quotas: Sequence[Saved]) -> None:
        """It could not be written down."""
        for one in quotas:
            for quota in self._quotas(one):
                quota.unsaved += one.used

    def saved(self, quotas: Sequence[Saved]) -> None:
        """What is written down now, by all processes together."""
        for one in quotas:
            for quota in self._quotas(one):
                quota.learn(one.starts_ns, one.used)

    def _quotas(self, one: Saved) -> list[Quota]:
        meter = self._metering.known(one.key)
        if meter is None:
            return []
        return [
            quota
            for metric, quota in meter.quotas()
            if metric == one.metric and quota.period == one.period and quota.starts_ns == one.starts_ns
        ]

    # ── other workers ──

    def report(self, touched: Iterable[Meter]) -> Report:
        """What is new of meters that no other gateway counts at."""
        found: Report = {}
        for meter in touched:
            if meter.is_shared or not (any(meter.spent.values()) or meter.here != meter.told):
                continue
            found[meter.key] = [*meter.spent.values(), meter.here]
            meter.spent = dict.fromkeys(METRICS, 0.0)
            meter.told = meter.here
        return found

    def everything(self) -> list[Meter]:
        """Meters whose calls in flight are to be told again: somebody may have begun afresh."""
        found = [meter for meter in self._metering.meters() if meter.concurrent != math.inf and meter.here]
        for meter in found:
            meter.told = -1
        return found

    def learn(self, worker: int, report: Report) -> None:
        known = self._in_flight.setdefault(worker, {})
        for key, counted in report.items():
            meter = self._metering.meter(key)
            if meter is None:
                continue
            for metric, purse in meter.purses:
                if isinstance(purse, Bucket):
                    purse.take(counted[METRICS.index(metric)], self._metering.now_s())
            _note(meter, known, int(counted[_IN_FLIGHT]))

    def forget(self, worker: int) -> None:
        """It is gone, and with it what it had in flight."""
        known = self._in_flight.pop(worker, {})
        for key in tuple(known):
            meter = self._metering.known(key)
            if meter is not None:
                _note(meter, known, 0)


def _note(meter: Meter, known: dict[str, int], in_flight: int) -> None:
    more = in_flight - known.pop(meter.key, 0)
    meter.in_flight += more
    meter.elsewhere += more
    if in_flight:
        known[meter.key] = in_flight
