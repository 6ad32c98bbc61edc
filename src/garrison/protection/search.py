"""Questions to the ledger: which entries were of this principal, tool, server, time, outcome; newest first, in pages.

The index (`search_index.py`) says which segments cannot hold an answer; of the rest only the lines that hold the
words of the question are decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from garrison.protection.entries import Entry, Recorded, decode
from garrison.protection.pages import PRUNED, Page
from garrison.protection.place import Place, place_of
from garrison.protection.reader import Filter
from garrison.protection.reading import open_reading
from garrison.protection.search_index import SearchIndex
from garrison.protection.store import Store

LIMIT_MAX = 1000
FAILED = "failed"
"""As an outcome: whatever ended neither `ok` nor is still open."""
_END = 2**63 - 1


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """An empty field matches everything. Times in nanoseconds since 1970-01-01 UTC, both inclusive.

    tool: of a server's tool, prompt or URI, the own name there. before: only entries with smaller numbers (0: all).
    """

    kind: str = ""
    call: str = ""
    principal: str = ""
    method: str = ""
    server: str = ""
    tool: str = ""
    outcome: str = ""
    since_ns: int = 0
    until_ns: int = _END
    before: int = 0
    limit: int = 50

    def words(self) -> tuple[tuple[str, str], ...]:
        """What an entry must hold, by the field; the rarest ones first."""
        outcome = "" if self.outcome == FAILED else self.outcome
        found = (
            ("call", self.call),
            ("target", self.tool),
            ("principal", self.principal),
            ("server", self.server),
            ("outcome", outcome),
            ("action", self.method),
            ("kind", self.kind),
        )
        return tuple((name, word) for name, word in found if word)

    def matches(self, entry: Entry) -> bool:
        if not self.since_ns <= entry.time_ns <= self.until_ns:
            return False
        if self.outcome == FAILED and (entry.outcome in ("", "ok") or entry.kind == "change"):
            return False
        return all(getattr(entry, name) == word for name, word in self.words())


class Found(msgspec.Struct, frozen=True):
    """entries: newest first. next: what to give as `before` for those that follow; 0 when there are none."""

    entries: list[Recorded]
    next: int


def search(ledger: Path | Place, query: Query, *, indexed: bool = True) -> Found:
    """`indexed=False` reads everything, and believes nothing but the ledger itself."""
    place = place_of(ledger)
    limit = max(1, min(query.limit, LIMIT_MAX))
    with open_reading(place) as store:
        found: list[Recorded] = []
        for one in _matching(store, query, SearchIndex(place) if indexed else None):
            if len(found) == limit:
                return Found(found, found[-1].seq)
            found.append(one)
    return Found(found, 0)


def entries(ledger: Path | Place, first: int = 1, last: int = 0, wanted: Filter | None = None) -> Iterator[Recorded]:
    """Entries in order, without those that were pruned. `last` 0: to the end."""
    with open_reading(ledger) as store:
        end = min(last or _END, store.size())
        for page in store.pages(first, end) if first <= end else ():
            for one in _lines(page, first, end, b""):
                if wanted is None or wanted.matches(one.entry):
                    yield one


def size_of(ledger: Path | Place) -> int:
    """Number of the newest entry."""
    with open_reading(ledger) as store:
        return store.size()


def _matching(store: Store, query: Query, index: SearchIndex | None) -> Iterator[Recorded]:
    end = store.size() if not query.before else min(query.before - 1, store.size())
    needle = msgspec.json.encode(query.words()[0][1]) if query.words() else b""
    for first, last in _ranges(store, query, index, end):
        for page in store.pages(first, last, backwards=True, holding=needle):
            for one in _lines(page, first, last, needle)[::-1]:
                if query.matches(one.entry):
                    yield one


def _ranges(store: Store, query: Query, index: SearchIndex | None, end: int) -> Iterator[tuple[int, int]]:
    """Which entries to look at, newest first."""
    if end < 1:
        return
    known = index.grown(store) if index is not None else 0
    if known < end:
        yield known + 1, end
    if index is not None and known:
        for first, last in index.candidates(query.words(), query.since_ns, query.until_ns, min(end, known)):
            yield first, min(last, end)


def _lines(page: Page, first: int, last: int, needle: bytes) -> list[Recorded]:
    """The entries of a page from `first` to `last` whose bodies hold these bytes."""
    return [
        Recorded(seq, decode(body), page.hash_at(seq).hex())
        for seq, body in enumerate(page.lines, page.first)
        if first <= seq <= last and needle in body and body != PRUNED
    ]
