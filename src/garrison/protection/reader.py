"""Reading the ledger: the newest entries, one entry or call, the verdict on the whole. Never writes.

All functions take a `Place`, or the bare path of a ledger in SQLite. They are stable: queries, exports and the command
line are built on them, and on `reading.open_reading`, which gives the `Store` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec

from garrison.kernel.errors import NotFound
from garrison.protection.checking import Verdict
from garrison.protection.entries import Entry, Recorded, decode
from garrison.protection.pages import PRUNED, Page
from garrison.protection.place import Place
from garrison.protection.reading import open_reading
from garrison.protection.store import Store
from garrison.protection.verifying import verify_log


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What to show; an empty field matches everything. Times in nanoseconds since 1970-01-01 UTC, both inclusive."""

    kind: str = ""
    call: str = ""
    principal: str = ""
    action: str = ""
    server: str = ""
    target: str = ""
    outcome: str = ""
    after_seq: int = 0
    since_ns: int = 0
    until_ns: int = 2**63 - 1

    def matches(self, entry: Entry) -> bool:
        wanted = (self.kind, self.call, self.principal, self.action, self.server, self.target, self.outcome)
        has = (entry.kind, entry.call, entry.principal, entry.action, entry.server, entry.target, entry.outcome)
        if any(want and want != have for want, have in zip(wanted, has, strict=True)):
            return False
        return self.since_ns <= entry.time_ns <= self.until_ns


def tail(ledger: Path | Place, limit: int = 20, wanted: Filter | None = None) -> list[Recorded]:
    """The newest entries that match, oldest first."""
    wanted = wanted or Filter()
    with open_reading(ledger) as store:
        matching = (
            recorded
            for page in store.pages(wanted.after_seq + 1, backwards=True)
            for recorded in reversed(recorded_of(page, wanted.matches))
            if recorded.seq > wanted.after_seq
        )
        return list(islice(matching, limit))[::-1]


def show(ledger: Path | Place, key: int | str) -> list[Recorded]:
    """One entry by its number, or all entries of a call by the call's id. NotFound if there is none."""
    with open_reading(ledger) as store:
        found = _by_seq(store, key) if isinstance(key, int) else _by_call(store, key)
    if not found:
        raise NotFound(
            "ledger.no_entry", f"The ledger has no entry {key}.", "`garrison audit tail` lists the newest ones."
        )
    return found


def verify(ledger: Path | Place) -> Verdict:
    """Walk the whole log and hold it against head file and checkpoints; see `checking` for what this can show."""
    return verify_log(ledger)


def recorded_of(page: Page, wanted: Callable[[Entry], bool] = lambda _: True) -> list[Recorded]:
    """The entries of a page, without those whose bodies were taken away (`pages.PRUNED`)."""
    found = []
    for seq, body in enumerate(page.lines, page.first):
        if body == PRUNED:
            continue
        entry = decode(body)
        if wanted(entry):
            found.append(Recorded(seq, entry, page.hash_at(seq).hex()))
    return found


def _by_seq(store: Store, seq: int) -> list[Recorded]:
    return [one for page in store.pages(seq, seq) for one in recorded_of(page) if one.seq == seq]


def _by_call(store: Store, call: str) -> list[Recorded]:
    """Reads the whole ledger, about a second per million entries: calls are looked up rarely, and an index would
    cost every call."""
    pages = store.pages(holding=msgspec.json.encode(call))
    return [one for page in pages for one in recorded_of(page, lambda entry: entry.call == call)]
