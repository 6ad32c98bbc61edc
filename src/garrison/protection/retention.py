"""How long entries are kept, and what is kept for longer. Pure.

Calls and refusals expire; changes never do: there are few of them, and holds, prunings and the reconstruction of a
former state rest on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from garrison.protection.entries import Entry, Recorded

DAY_NS = 86_400 * 1_000_000_000
_END_NS = 2**63 - 1


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A legal hold: nothing that it covers expires. An empty field covers everything; times are inclusive.

    id: short, for `release`. by, reason, made_ns: who wanted it, why, and when, nanoseconds since 1970-01-01 UTC.
    """

    id: str
    principal: str = ""
    server: str = ""
    since_ns: int = 0
    until_ns: int = _END_NS
    reason: str = ""
    by: str = ""
    made_ns: int = 0

    def covers(self, principal: str, server: str, time_ns: int) -> bool:
        if self.principal and self.principal != principal:
            return False
        return (not self.server or self.server == server) and self.since_ns <= time_ns <= self.until_ns

    def detail(self) -> dict[str, Any]:
        """As it stands in its entry."""
        found = msgspec.to_builtins(self)
        return {name: value for name, value in found.items() if name not in ("by", "made_ns") and value}


def horizon(now_ns: int, retention_days: int) -> int:
    """What is older than this may go; 0 when nothing may."""
    return max(0, now_ns - retention_days * DAY_NS) if retention_days else 0


def is_expired(entry: Entry, holds: Sequence[Hold], horizon_ns: int) -> bool:
    if entry.kind == "change" or entry.time_ns >= horizon_ns:
        return False
    return not any(hold.covers(entry.principal, entry.server, entry.time_ns) for hold in holds)


def expired(entries: Iterable[Recorded], holds: Sequence[Hold], horizon_ns: int) -> Iterator[tuple[int, int]]:
    """Runs of the numbers of what may go, first and last, in the order of `entries`. What stands between two of them
    and is not among `entries` is gone already."""
    run: tuple[int, int] | None = None
    for one in entries:
        if not is_expired(one.entry, holds, horizon_ns):
            if run is not None:
                yield run
            run = None
        elif run is not None and one.seq == run[1] + 1:
            run = (run[0], one.seq)
        else:
            if run is not None:
                yield run
            run = (one.seq, one.seq)
    if run is not None:
        yield run


def standing(changes: Iterable[Recorded]) -> list[Hold]:
    """The holds that stand after these changes, oldest first."""
    found: dict[str, Hold] = {}
    for one in changes:
        detail = dict(one.entry.detail or {})
        if one.entry.action == ADDED:
            by = {"by": one.entry.principal, "made_ns": one.entry.time_ns}
            hold = msgspec.convert({**detail, **by}, Hold)
            found[hold.id] = hold
        elif one.entry.action == RELEASED:
            found.pop(str(detail.get("id", "")), None)
    return list(found.values())


ADDED = "audit.hold.add"
RELEASED = "audit.hold.release"
