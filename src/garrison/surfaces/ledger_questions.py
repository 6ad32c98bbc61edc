"""Questions to the ledger as people and the admin API put them, and entries as both show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from garrison.kernel.clock import SystemClock, rfc3339
from garrison.protection.entries import Recorded
from garrison.protection.search import Query
from garrison.surfaces.moments import moment_ns


def query_of(wanted: Mapping[str, str], before: int = 0, limit: int = 50) -> Query:
    """`wanted`: texts by the names of `Query`, and `since` and `until` as people write them. Raises `Invalid`."""
    words = {name: text for name, text in wanted.items() if name not in ("since", "until")}
    now_ns = SystemClock().wall_ns()
    since, until = wanted.get("since", ""), wanted.get("until", "")
    return Query(
        **words,
        since_ns=moment_ns(since, now_ns) if since else 0,
        until_ns=moment_ns(until, now_ns) if until else 2**63 - 1,
        before=before,
        limit=limit,
    )


def row_of(recorded: Recorded) -> dict[str, Any]:
    entry = msgspec.structs.asdict(recorded.entry)
    return {"seq": recorded.seq, "time": rfc3339(entry.pop("time_ns")), **entry}
