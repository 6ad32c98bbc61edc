"""Reading the ledger: the newest entries, one entry or call, and the verdict on the whole. Never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from garrison.kernel.errors import NotFound, Unavailable
from garrison.kernel.store import connect_read_only
from garrison.protection.chain import GENESIS, Page, Verdict, check
from garrison.protection.entries import Entry, Recorded, decode
from garrison.protection.head import read_head

_COLUMNS = "SELECT first, last, CAST(bodies AS BLOB), CAST(hashes AS BLOB) FROM pages"


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


def tail(ledger: Path, limit: int = 20, wanted: Filter | None = None) -> list[Recorded]:
    """The newest entries that match, oldest first."""
    wanted = wanted or Filter()
    with _reading(ledger) as connection:
        pages = _pages(connection, "WHERE last > ? ORDER BY first DESC", wanted.after_seq)
        matching = (
            recorded
            for page in pages
            for recorded in reversed(_recorded(connection, page, wanted.matches))
            if recorded.seq > wanted.after_seq
        )
        return list(islice(matching, limit))[::-1]


def show(ledger: Path, key: int | str) -> list[Recorded]:
    """One entry by its number, or all entries of a call by the call's id. NotFound if there is none."""
    with _reading(ledger) as connection:
        found = _by_seq(connection, key) if isinstance(key, int) else _by_call(connection, key)
    if not found:
        raise NotFound(
            "ledger.no_entry", f"The ledger has no entry {key}.", "`garrison audit tail` lists the newest ones."
        )
    return found


def verify(ledger: Path) -> Verdict:
    """Walk the whole chain and compare its end with the head file; see `chain` for what this can and cannot show."""
    kept = read_head(ledger)  # before the pages: what is appended meanwhile only makes them longer
    try:
        with _reading(ledger) as connection:
            return check(_pages(connection, "ORDER BY first"), kept)
    except NotFound:
        missing = kept.seq if kept else 0
        return Verdict(missing == 0, 0, 1 if missing else None, "the ledger's database is missing" if missing else "")
    except Unavailable as error:
        return Verdict(False, 0, 1, error.message)


@contextmanager
def _reading(ledger: Path) -> Iterator[sqlite3.Connection]:
    """One consistent view of the ledger."""
    try:
        connection = connect_read_only(ledger)
    except FileNotFoundError as error:
        raise NotFound("ledger.missing", f"There is no ledger at {ledger}.", "Start the fleet once.") from error
    try:
        connection.execute("BEGIN")
        yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged file can hold names that are no UTF-8
        hint = "If the file is damaged, restore it from a backup; do not delete it."
        raise Unavailable("ledger.unreadable", f"The ledger cannot be read: {error}.", hint) from error
    finally:
        connection.close()


def _pages(connection: sqlite3.Connection, condition: str, *values: object) -> Iterator[Page]:
    for row in connection.execute(f"{_COLUMNS} {condition}", values):
        first, last, bodies, hashes = row  # a damaged file can hold NULL even where the schema forbids it
        yield Page(first, last or 0, bodies or b"", hashes or b"")


def _by_seq(connection: sqlite3.Connection, seq: int) -> list[Recorded]:
    pages = list(_pages(connection, "WHERE first <= ? ORDER BY first DESC LIMIT 1", min(seq, 2**63 - 1)))
    return [one for page in pages for one in _recorded(connection, page, lambda _: True) if one.seq == seq]


def _by_call(connection: sqlite3.Connection, call: str) -> list[Recorded]:
    """Reads the whole ledger, about a second per million entries: calls are looked up rarely, and an index would
    cost every call."""
    needle = msgspec.json.encode(call)
    pages = _pages(connection, "WHERE instr(CAST(bodies AS BLOB), ?) ORDER BY first", needle)
    return [one for page in pages for one in _recorded(connection, page, lambda entry: entry.call == call)]


def _recorded(connection: sqlite3.Connection, page: Page, wanted: Callable[[Entry], bool]) -> list[Recorded]:
    found = []
    for seq, body in enumerate(page.lines, page.first):
        entry = decode(body)
        if wanted(entry):
            previous = page.hash_at(seq - 1) if seq > page.first else _hash_before(connection, page)
            found.append(Recorded(seq, entry, previous.hex(), page.hash_at(seq).hex()))
    return found


def _hash_before(connection: sqlite3.Connection, page: Page) -> bytes:
    row = connection.execute(
        "SELECT substr(hashes, -32) FROM pages WHERE first < ? ORDER BY first DESC LIMIT 1", (page.first,)
    ).fetchone()
    return bytes(row[0]) if row else GENESIS
