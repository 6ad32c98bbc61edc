"""Limits, asked from outside: what meters stand at, and what was used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from garrison.gateway.meter_rows import Row as LimitRow
from garrison.gateway.meter_rows import concerns, rows_of, share_used, together
from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import Invalid
from garrison.protection.budget_store import By, Row, report
from garrison.surfaces.wiring.fleet import Fleet

ROWS_MAX: Final = 10_000
DAY_S: Final = 86_400


def standing(fleet: Fleet, principal: str) -> list[LimitRow]:
    """What this process knows. `principal`: a name or an id; empty: all."""
    found = [meter for meter in fleet.metering.meters() if not principal or concerns(meter, principal)]
    clock = SystemClock()
    return rows_of(found[:ROWS_MAX], clock.monotonic_s(), clock.wall_ns())


async def show(fleet: Fleet, request: Request, of_others: Callable[[str], Awaitable[list[list[LimitRow]]]]) -> Response:
    """`principal`: a name or an id; all without it. `of_others`: what further workers know."""
    principal = request.query_params.get("principal", "")
    rows = together([standing(fleet, principal), *await of_others(principal)])
    state = {"counted_together": fleet.budgets.state or "no", "problem": fleet.budgets.problem}
    return JSONResponse({"limits": rows, **state})


async def used(fleet: Fleet, request: Request) -> Response:
    """`by`: principal, tool or server. `since_s`: how far back, in seconds."""
    by, since_s = request.query_params.get("by", "principal"), request.query_params.get("since_s", str(DAY_S))
    if by not in get_args(By) or not since_s.isdecimal() or len(since_s) > 10:
        raise Invalid(
            "limits.query", "by is principal, tool or server; since_s a number", "see `garrison limits report`"
        )
    await fleet.budgets.save()
    since_ns = SystemClock().wall_ns() - int(since_s) * 1_000_000_000
    found = await asyncio.to_thread(report, fleet.home.budgets, cast("By", by), since_ns)
    return JSONResponse({"used": [_row(fleet, row, by) for row in found[:ROWS_MAX]]})


def _row(fleet: Fleet, row: Row, by: str) -> dict[str, Any]:
    counted = dict(zip(Row._fields[1:], row[1:], strict=True))
    return {by: row.what, **counted, "nearest": _nearest(fleet, row.what, by)}


def _nearest(fleet: Fleet, what: str, by: str) -> str:
    """Of the limits that count this one by itself: the one of which the most is used."""
    clock = SystemClock()
    meters = [meter for meter in fleet.metering.meters()[:ROWS_MAX] if _is_of(meter.label, what, by)]
    rows = rows_of(meters, clock.monotonic_s(), clock.wall_ns())
    row = max(rows, key=share_used, default=None)
    return f"{row['limit']}: {row['used']:g} of {row['allowed']} ({row['what']})" if row is not None else ""


def _is_of(label: str, what: str, by: str) -> bool:
    whose, _, where = label.partition(" at ")
    return whose == what if by == "principal" else where == what
