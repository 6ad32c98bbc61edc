"""Pruning: bodies of expired entries are taken away, holds are kept; hashes stay, so that the log verifies as before.

Holds are changes on the ledger itself: nobody can release one unseen. Whoever prunes or changes holds is alone
meanwhile, so that a hold counts from the moment it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from garrison.kernel.alone import alone
from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.errors import NotFound
from garrison.protection.entries import Entry, Recorded
from garrison.protection.ledger import record_once, writing_once
from garrison.protection.place import Place
from garrison.protection.reader import recorded_of
from garrison.protection.reading import open_reading
from garrison.protection.retention import ADDED, RELEASED, Hold, expired, standing

PAGES_AT_ONCE = 50
"""In one transaction, which whoever writes an entry waits for."""
SKEW_NS = 3600 * 1_000_000_000
"""Entries are nearly in the order of their times; clocks step and processes differ, but not by more than that."""
_HOLDING = b'"audit.hold.'


@dataclass(frozen=True)
class Plan:
    """runs: numbers of what may go, first and last."""

    runs: tuple[tuple[int, int], ...] = ()

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last in self.runs)


def holds(ledger: Place) -> list[Hold]:
    """Those that stand now, oldest first."""
    with open_reading(ledger) as store:
        return standing(
            one for page in store.pages(holding=_HOLDING) for one in recorded_of(page, lambda e: e.kind == "change")
        )


def add_hold(ledger: Place, hold: Hold, clock: Clock | None = None) -> None:
    clock = clock or SystemClock()
    with _alone(ledger):
        entry = Entry(clock.wall_ns(), "change", "", hold.by, ADDED, hold.server, "", "ok", 0, hold.detail())
        record_once(ledger, entry, clock)


def release_hold(ledger: Place, hold_id: str, by: str, reason: str, clock: Clock | None = None) -> Hold:
    """Returns the one that was. NotFound when there is none of this id."""
    clock = clock or SystemClock()
    with _alone(ledger):
        found = next((one for one in holds(ledger) if one.id == hold_id), None)
        if found is None:
            hint = "`garrison audit hold list` shows them."
            raise NotFound("audit.no_hold", f"There is no hold {hold_id[:64]!r}.", hint)
        detail = {"id": hold_id, "reason": reason}
        record_once(ledger, Entry(clock.wall_ns(), "change", "", by, RELEASED, "", "", "ok", 0, detail), clock)
        return found


def plan(ledger: Place, horizon_ns: int) -> Plan:
    """What would be pruned now."""
    found = holds(ledger)
    return Plan(tuple(run for part in _parts(ledger, 1) for run in expired(part, found, horizon_ns)))


def prune(ledger: Place, horizon_ns: int, by: str, why: str, first: int = 1) -> tuple[int, int]:
    """Take away what has expired, from entry `first` on. Returns how many, and where the next pruning may begin."""
    count, begin = 0, 0
    with _alone(ledger):
        kept = holds(ledger)
        for part in _parts(ledger, first):
            runs = list(expired(part, kept, horizon_ns))
            if runs:
                with writing_once(ledger) as log:
                    count += log.prune(runs, by, why)
            begin = begin or next((one.seq for one in part if _may_expire_later(one.entry, horizon_ns)), 0)
            if part and min(one.entry.time_ns for one in part) >= horizon_ns + SKEW_NS:
                break
    return count, begin or first


def _may_expire_later(entry: Entry, horizon_ns: int) -> bool:
    return entry.kind != "change" and entry.time_ns >= horizon_ns


def _parts(ledger: Place, first: int) -> Iterator[list[Recorded]]:
    """The entries from `first` on, some pages at a time, each time in a view of its own."""
    while True:
        with open_reading(ledger) as store:
            size = store.size()
            pages = store.pages(first, size) if first <= size else iter(())
            taken = [page for page, _ in zip(pages, range(PAGES_AT_ONCE), strict=False)]
            part = [one for page in taken for one in recorded_of(page)]
        if not taken:
            return
        first = taken[-1].last + 1
        yield part


@contextmanager
def _alone(ledger: Place) -> Iterator[None]:
    with alone(ledger.path.with_suffix(".holds.x")):
        yield
