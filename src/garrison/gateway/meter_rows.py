"""What meters stand at, as rows for people and programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from garrison.kernel.clock import rfc3339
from garrison.policy.buckets import Quota, Share
from garrison.policy.limits import Meter

Row = dict[str, Any]
"""`limit`, `whose`, `what`, `allowed`, `used`, `left`; `resets` is a time (RFC 3339) or empty."""


def rows_of(meters: Iterable[Meter], now_s: float, wall_ns: int) -> list[Row]:
    found = [row for meter in meters for row in _rows(meter, now_s, wall_ns)]
    return sorted(found, key=lambda row: (row["limit"], row["whose"], row["what"], row["allowed"]))


def together(answers: Iterable[Iterable[Row]]) -> list[Row]:
    """Rows of several workers as one list: of what several count, the one that knows of the most; refusals add up."""
    found: dict[tuple[str, str, str, str], Row] = {}
    for row in (row for rows in answers for row in rows):
        key = row["limit"], row["whose"], row["what"], row["allowed"]
        known = found.get(key, row)
        most = max(known, row, key=share_used)
        refused = row["refused"] + (known["refused"] if known is not row else 0)
        found[key] = {**most, "refused": refused}
    return [found[key] for key in sorted(found)]


def concerns(meter: Meter, principal: str) -> bool:
    """Whether it counts this principal, by its id or name, or everybody."""
    return not meter.principal or principal in (meter.principal, meter.label.partition(" at ")[0])


def share_used(row: Row) -> float:
    """From 0 to 1 and beyond."""
    return float(row["used"]) / max(1e-9, float(row["used"]) + float(row["left"]))


def _rows(meter: Meter, now_s: float, wall_ns: int) -> Iterator[Row]:
    if meter.concurrent != math.inf:
        left = meter.concurrent - meter.in_flight
        yield _row(meter, "calls at once", f"{meter.concurrent:g}", meter.in_flight, left, "")
    for metric, purse in meter.purses:
        left = purse.left(now_s, wall_ns)
        what = metric.replace("_", " ")
        if isinstance(purse, Quota):
            allowed, resets = f"{purse.amount:.15g}/{purse.period}", rfc3339(purse.ends_ns)[:19] + "Z"
            yield _row(meter, what, allowed, purse.used, left, resets)
        else:
            bucket = purse.own if isinstance(purse, Share) else purse
            capacity = getattr(bucket, "capacity", 0.0)
            yield _row(meter, what, getattr(meter.rule.spec, metric), capacity - left, left, "")


def _row(meter: Meter, what: str, allowed: str, used: float, left: float, resets: str) -> Row:
    counted = {"allowed": allowed, "used": round(used, 1), "left": round(left, 1), "refused": meter.refused}
    return {"limit": meter.rule.name, "whose": meter.label, "what": what, **counted, "resets": resets}
