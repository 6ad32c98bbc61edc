"""The ledger's database: pages of entries, appended under the write lock.

Entries that are committed together share a page (one row), which makes a busy ledger several times cheaper than a row
each; the view `entries` shows them one by one. Triggers forbid UPDATE, DELETE and REPLACE, against accidents; the
chain is what shows intent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from garrison.kernel.clock import Clock
from garrison.kernel.store import connect, file_identity, writing
from garrison.protection.chain import Head, Page, extend, head_of
from garrison.protection.entries import GAP, Entry, encode
from garrison.protection.head import HeadFile, create_head, read_head
from garrison.telemetry.redaction import redactor

PAGE_ENTRIES_MAX = 1024
FILE_PAGE_BYTES = 16 * 1024
"""Of the database's file: a page of entries is some 50 KB, and each page of the file costs calls of its own."""
WAL_BYTES_KEPT = 64 * 1024 * 1024

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
    first INTEGER PRIMARY KEY,     -- number of the first entry
    last INTEGER NOT NULL,
    hashes BLOB NOT NULL,          -- 32 bytes per entry
    bodies TEXT NOT NULL           -- one JSON array per line, see protection/entries.py
) STRICT;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS pages_never_change BEFORE UPDATE ON pages
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS pages_never_go BEFORE DELETE ON pages
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS pages_only_grow BEFORE INSERT ON pages
WHEN NEW.first <> 1 + coalesce((SELECT last FROM pages ORDER BY first DESC LIMIT 1), 0)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE VIEW IF NOT EXISTS entries AS
SELECT first + key AS seq, value ->> 1 AS time_ns, value ->> 2 AS kind, value ->> 3 AS call, value ->> 4 AS principal,
       value ->> 5 AS action, value ->> 6 AS server, value ->> 7 AS target, value ->> 8 AS outcome,
       value ->> 9 AS duration_us, value -> 10 AS detail, lower(hex(substr(hashes, key * 32 + 1, 32))) AS hash
FROM pages, json_each('[' || replace(bodies, char(10), ',') || ']');
"""
_HEAD = "SELECT last, substr(hashes, -32) FROM pages ORDER BY first DESC LIMIT 1"


class Store:
    """Appends to one ledger; any number of these, in any number of processes, may write to the same file."""

    def __init__(self, path: Path, clock: Clock, create: bool = True) -> None:
        self._path = path
        self._connection = connect(path, create=create, page_bytes=FILE_PAGE_BYTES)
        self._opened = file_identity(path)
        self._last: Head | None = None
        """The end as this process left it; asking each time costs more than being wrong now and then."""
        try:
            found = self._prepare(clock)
            self._head_file = HeadFile(path)
            if found is not None:
                self.note(found)
        except BaseException:
            self._connection.close()
            raise

    def append(self, bodies: Sequence[bytes], marks: Sequence[tuple[str, int]] = ()) -> Head:
        """Add entries and set marks, durably and at once. Returns the new head. sqlite3.Error: nothing was added."""
        with writing(self._connection):
            self._insist_on_the_same_file()
            head = self._last or self._head()
            for start in range(0, len(bodies), PAGE_ENTRIES_MAX):
                head = self._continue(head, bodies[start : start + PAGE_ENTRIES_MAX])
            if marks:
                self._connection.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?)", marks)
        self._last = head
        return head

    def _continue(self, head: Head, bodies: Sequence[bytes]) -> Head:
        """A page behind `head`, or behind what somebody else has written meanwhile."""
        try:
            return self._insert(extend(head, bodies))
        except sqlite3.IntegrityError:  # the number is taken: the database itself sees to that
            return self._insert(extend(self._head(), bodies))

    def note(self, head: Head) -> None:
        """Tell the head file what is durable now. OSError if that fails; the entries are safe then all the same."""
        self._head_file.write(head)

    def mark(self, name: str) -> int:
        row = self._connection.execute("SELECT position FROM marks WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def probe(self) -> None:
        """Write something that is no entry, to see whether writing works again. sqlite3.Error or OSError if not."""
        self.note(self.append((), marks=[("probe", self.mark("probe") + 1)]))

    def close(self) -> None:
        self._head_file.close()
        self._connection.close()

    def _prepare(self, clock: Clock) -> Head | None:
        """Make what is missing. A missing end goes on the record; the new head is returned then."""
        self._connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}")
        with writing(self._connection):
            if not self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'entries'").fetchone():
                self._create()
            gap = self._gap()
            if gap is None:
                return None
            entry = Entry(clock.wall_ns(), "change", principal="garrison", action=GAP, outcome="found", detail=gap)
            return self._insert(extend(self._head(), [encode(entry, redactor)]))

    def _create(self) -> None:
        for statement in _statements(_SCHEMA):
            self._connection.execute(statement)
        if read_head(self._path) is None:  # one that is there belongs to a ledger that was lost
            create_head(self._path)

    def _gap(self) -> dict[str, object] | None:
        """What is missing at the end, when the head file knows more than the database."""
        kept, head = read_head(self._path), self._head()
        if kept is None:
            return {"reason": "the head file is missing or unreadable", "last_seq": head.seq}
        if kept.seq > head.seq:
            return {"reason": "entries are missing at the end", "from": head.seq + 1, "to": kept.seq}
        return None

    def _head(self) -> Head:
        row = self._connection.execute(_HEAD).fetchone()
        return Head(*row) if row else Head()

    def _insert(self, page: Page) -> Head:
        row = (page.first, page.last, page.hashes, page.bodies.decode())
        self._connection.execute("INSERT INTO pages VALUES (?, ?, ?, ?)", row)
        return head_of(page)

    def _insist_on_the_same_file(self) -> None:
        """A ledger that was moved or deleted under a running writer would swallow entries silently."""
        if file_identity(self._path) != self._opened:
            raise sqlite3.OperationalError(f"{self._path} is no longer the file that was opened")


def _statements(script: str) -> list[str]:
    """The script's statements one by one; `executescript` would end the transaction that they belong to."""
    found, rest = [], ""
    for piece in script.split(";"):
        rest += piece + ";"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
