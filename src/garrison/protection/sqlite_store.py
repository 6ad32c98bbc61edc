"""The ledger in SQLite: pages of entries, appended under the write lock.

Entries that are committed together share a page (one row), which makes a busy ledger several times cheaper than a row
each; the view `entries` shows them one by one. Triggers forbid UPDATE, DELETE and REPLACE, against accidents; the
tree is what shows intent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from garrison.kernel.errors import Conflict
from garrison.kernel.store import connect, connect_read_only, file_identity, writing
from garrison.protection.pages import Page
from garrison.protection.place import Place

FILE_PAGE_BYTES = 16 * 1024
"""Of the database's file: a page of entries is some 50 KB, and each page of the file costs calls of its own."""
WAL_BYTES_KEPT = 64 * 1024 * 1024
SEQ_MAX = 2**63 - 1

SCHEMA = """
CREATE TABLE pages (
    first INTEGER PRIMARY KEY,     -- number of the first entry
    last INTEGER NOT NULL,
    hashes BLOB NOT NULL,          -- leaf hashes, 32 bytes per entry
    nodes BLOB NOT NULL,           -- nodes of the tree that these entries complete, see protection/merkle.py
    bodies TEXT NOT NULL           -- one JSON array per line, see protection/entries.py; null: pruned
) STRICT;
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE pruning (page INTEGER PRIMARY KEY) STRICT;    -- only within a transaction that prunes
CREATE TRIGGER pages_never_change BEFORE UPDATE ON pages
WHEN NOT EXISTS (SELECT 1 FROM pruning WHERE page = OLD.first) OR NEW.first <> OLD.first OR NEW.last <> OLD.last
    OR NEW.hashes <> OLD.hashes OR NEW.nodes <> OLD.nodes
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER pages_never_go BEFORE DELETE ON pages
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER pages_only_grow BEFORE INSERT ON pages
WHEN NEW.first <> 1 + coalesce((SELECT last FROM pages ORDER BY first DESC LIMIT 1), 0)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER checkpoints_never_change BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE TRIGGER checkpoints_never_go BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE VIEW entries AS
SELECT first + key AS seq, value ->> 1 AS time_ns, value ->> 2 AS kind, value ->> 3 AS call, value ->> 4 AS principal,
       value ->> 5 AS action, value ->> 6 AS server, value ->> 7 AS target, value ->> 8 AS outcome,
       value ->> 9 AS duration_us, value -> 10 AS detail, lower(hex(substr(hashes, key * 32 + 1, 32))) AS hash
FROM pages, json_each('[' || replace(bodies, char(10), ',') || ']');
"""
_LAST = "SELECT last FROM pages ORDER BY first DESC LIMIT 1"
_COLUMNS = "SELECT first, last, CAST(hashes AS BLOB), CAST(nodes AS BLOB), CAST(bodies AS BLOB) FROM pages"


def open_store(place: Place, create: bool, read_only: bool) -> SqliteStore:
    return SqliteStore(place.path, create=create, read_only=read_only)


class SqliteStore:
    """Any number of these, in any number of processes, may write to the same file."""

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self._path = path
        if read_only:
            self.connection = connect_read_only(path)
        else:
            self.connection = connect(path, create=create, page_bytes=FILE_PAGE_BYTES)
        self._opened = file_identity(path)
        try:
            self._prepare(create, read_only)
        except BaseException:
            self.connection.close()
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        with writing(self.connection):
            self._insist_on_the_same_file()
            yield

    def reading(self) -> AbstractContextManager[None]:
        return _one_view(self.connection)

    def size(self) -> int:
        row = self.connection.execute(_LAST).fetchone()
        return int(row[0]) if row else 0

    def insert(self, page: Page) -> None:
        row = (page.first, page.last, page.hashes, page.nodes, page.bodies.decode())
        self.connection.execute("INSERT INTO pages VALUES (?, ?, ?, ?, ?)", row)

    def pages(
        self, first: int = 1, last: int | None = None, *, backwards: bool = False, holding: bytes = b""
    ) -> Iterator[Page]:
        order = "DESC" if backwards else "ASC"
        query = f"{_COLUMNS} WHERE first <= ? AND first >= ? AND instr(CAST(bodies AS BLOB), ?) ORDER BY first {order}"
        end = SEQ_MAX if last is None else min(last, SEQ_MAX)
        for row in self.connection.execute(query, (end, self._page_of(first), holding)):
            found, to, hashes, nodes, bodies = row  # a damaged file can hold NULL even where the schema forbids it
            yield Page(found, to or 0, hashes or b"", nodes or b"", bodies or b"")

    def leaves(self, first: int, last: int) -> bytes:
        query = "SELECT first, last, CAST(hashes AS BLOB) FROM pages WHERE first >= ? AND first <= ? ORDER BY first"
        found = self.connection.execute(query, (self._page_of(first), last))
        return b"".join(
            hashes[max(first - start, 0) * 32 : (min(last, end) - start + 1) * 32] for start, end, hashes in found
        )

    def nodes_at(self, seq: int) -> tuple[int, bytes]:
        query = (
            "SELECT first, CAST(nodes AS BLOB) FROM pages WHERE first <= ? AND last >= ? ORDER BY first DESC LIMIT 1"
        )
        row = self.connection.execute(query, (seq, seq)).fetchone()
        if row is None:
            raise KeyError(seq)
        return int(row[0]), bytes(row[1])

    def replace_bodies(self, first: int, bodies: bytes) -> None:
        self.connection.execute("INSERT INTO pruning VALUES (?)", (first,))
        self.connection.execute("UPDATE pages SET bodies = ? WHERE first = ?", (bodies.decode(), first))
        self.connection.execute("DELETE FROM pruning")

    def mark(self, name: str) -> int:
        row = self.connection.execute("SELECT position FROM marks WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_marks(self, marks: Sequence[tuple[str, int]]) -> None:
        self.connection.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?)", marks)

    def fact(self, name: str) -> str:
        row = self.connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def set_fact(self, name: str, value: str) -> None:
        self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def checkpoints(self, newest_only: bool = False) -> Iterator[tuple[int, str]]:
        query = "SELECT size, note FROM checkpoints ORDER BY size "
        for size, note in self.connection.execute(query + ("DESC LIMIT 1" if newest_only else "ASC")):
            yield int(size), str(note)

    def add_checkpoint(self, size: int, text: str) -> None:
        self.connection.execute("INSERT INTO checkpoints VALUES (?, ?)", (size, text))

    def close(self) -> None:
        self.connection.close()

    def former_pages(self) -> Iterator[Page]:
        """Of a ledger in the former format: pages with chained hashes, and no nodes."""
        query = "SELECT first, last, CAST(hashes AS BLOB), CAST(bodies AS BLOB) FROM former_pages ORDER BY first"
        for first, last, hashes, bodies in self.connection.execute(query):
            yield Page(first, last or 0, hashes or b"", b"", bodies or b"")

    @property
    def is_former(self) -> bool:
        return self._has("pages") and not self._has("facts")

    def begin_takeover(self) -> None:
        """Within `writing`: the former pages step aside, and what is new stands in their place, empty."""
        for name in ("pages_never_change", "pages_never_go", "pages_only_grow"):
            self.connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        self.connection.execute("DROP VIEW IF EXISTS entries")
        self.connection.execute("ALTER TABLE pages RENAME TO former_pages")
        self._create()

    def end_takeover(self) -> None:
        self.connection.execute("DROP TABLE former_pages")

    def _prepare(self, create: bool, read_only: bool) -> None:
        if not read_only:
            self.connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}")
        if create:
            with writing(self.connection):
                if not self._has("pages"):
                    self._create()
        elif self.is_former:
            message = f"The ledger {self._path} has the former format, a chain of hashes."
            raise Conflict(
                "ledger.former_format", message, "Start the fleet, or `garrison audit checkpoint`: it is taken over."
            )

    def _create(self) -> None:
        for statement in _statements(SCHEMA):
            self.connection.execute(statement)

    def _has(self, table: str) -> bool:
        return bool(self.connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone())

    def _page_of(self, seq: int) -> int:
        """First entry of the page that holds this one."""
        query = "SELECT first FROM pages WHERE first <= ? ORDER BY first DESC LIMIT 1"
        row = self.connection.execute(query, (min(seq, SEQ_MAX),)).fetchone()
        return int(row[0]) if row else 0

    def _insist_on_the_same_file(self) -> None:
        """A ledger that was moved or deleted under a running writer would swallow entries silently."""
        if file_identity(self._path) != self._opened:
            raise sqlite3.OperationalError(f"{self._path} is no longer the file that was opened")


@contextmanager
def _one_view(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _statements(script: str) -> list[str]:
    """The script's statements one by one; `executescript` would end the transaction that they belong to."""
    found, rest = [], ""
    for piece in script.split(";"):
        rest += piece + ";"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
