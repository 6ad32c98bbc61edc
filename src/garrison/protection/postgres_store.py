"""The ledger in PostgreSQL (12 or newer), for fleets that keep nothing of worth on their own machine.

One writer at a time: every transaction that writes holds an advisory lock of the database, so that several nodes append
one after another, each behind what the others have written. Triggers forbid UPDATE, DELETE and TRUNCATE, against
accidents; the tree is what shows intent. The tables are in the first schema of the search path; another one
(`?options=-csearch_path%3DNAME`) is another ledger.

The only module that imports psycopg, which the extra `postgres` brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, LiteralString

import psycopg

from garrison.kernel.errors import Unsupported
from garrison.protection.pages import Page
from garrison.protection.place import Place

CONNECTION: Final = {
    "application_name": "garrison",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that is gone is noticed within some ten seconds; calls are refused until then."""
VERSION_MIN: Final = 120_000
WAIT_MS: Final = 10_000
ROWS_AT_A_TIME: Final = 16
SEQ_MAX: Final = 2**63 - 1

_SCHEMA: Final = """
CREATE TABLE ledger_pages (
    first bigint PRIMARY KEY,
    last bigint NOT NULL,
    hashes bytea NOT NULL,
    nodes bytea NOT NULL,
    bodies bytea NOT NULL
);
CREATE TABLE ledger_checkpoints (size bigint PRIMARY KEY, note text NOT NULL);
CREATE TABLE ledger_marks (name text PRIMARY KEY, position bigint NOT NULL);
CREATE TABLE ledger_facts (name text PRIMARY KEY, value text NOT NULL);
CREATE FUNCTION ledger_never() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE FUNCTION ledger_only_prunes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('garrison.pruning', true) IS DISTINCT FROM OLD.first::text OR NEW.first <> OLD.first
        OR NEW.last <> OLD.last OR NEW.hashes <> OLD.hashes OR NEW.nodes <> OLD.nodes
    THEN RAISE EXCEPTION 'the ledger is append-only'; END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.first <> 1 + coalesce((SELECT last FROM ledger_pages ORDER BY first DESC LIMIT 1), 0)
    THEN RAISE EXCEPTION 'the ledger is append-only'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER never_changes BEFORE UPDATE ON ledger_pages FOR EACH ROW EXECUTE FUNCTION ledger_only_prunes();
CREATE TRIGGER never_goes BEFORE DELETE ON ledger_pages FOR EACH ROW EXECUTE FUNCTION ledger_never();
CREATE TRIGGER never_empties BEFORE TRUNCATE ON ledger_pages FOR EACH STATEMENT EXECUTE FUNCTION ledger_never();
CREATE TRIGGER only_grows BEFORE INSERT ON ledger_pages FOR EACH ROW EXECUTE FUNCTION ledger_only_grows();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON ledger_checkpoints
    FOR EACH ROW EXECUTE FUNCTION ledger_never();
CREATE TRIGGER never_empties BEFORE TRUNCATE ON ledger_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never();
CREATE VIEW ledger_entries AS
SELECT first + n - 1 AS seq, (body ->> 1)::bigint AS time_ns, body ->> 2 AS kind, body ->> 3 AS call,
       body ->> 4 AS principal, body ->> 5 AS action, body ->> 6 AS server, body ->> 7 AS target,
       body ->> 8 AS outcome, (body ->> 9)::bigint AS duration_us, body -> 10 AS detail,
       encode(substr(hashes, (n::int - 1) * 32 + 1, 32), 'hex') AS hash
FROM ledger_pages, json_array_elements(
    ('[' || replace(convert_from(bodies, 'UTF8'), chr(10), ',') || ']')::json
) WITH ORDINALITY AS line (body, n);
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('garrison ledger ' || current_schema(), 0))"
_LAST: Final = "SELECT last FROM ledger_pages ORDER BY first DESC LIMIT 1"
_PAGES: Final = """SELECT first, last, hashes, nodes, bodies FROM ledger_pages
WHERE first <= %s AND position(%s IN bodies) > 0
    AND first >= (SELECT coalesce(max(first), 0) FROM ledger_pages WHERE first <= %s)
ORDER BY first """
_LEAVES: Final = """SELECT first, last, hashes FROM ledger_pages
WHERE first <= %s AND first >= (SELECT coalesce(max(first), 0) FROM ledger_pages WHERE first <= %s)
ORDER BY first"""


def open_store(place: Place, create: bool, read_only: bool) -> PostgresStore:
    return PostgresStore(place.url, create=create, read_only=read_only)


class PostgresStore:
    """Any number of these, on any number of machines, may write to the same database."""

    def __init__(self, url: str, *, create: bool = False, read_only: bool = False) -> None:
        with _as_os_error():
            self._connection = psycopg.connect(url, autocommit=True, **CONNECTION)  # type: ignore[arg-type]
        self._cursors = count(1)
        try:
            with _as_os_error():
                self._prepare(create, read_only)
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        with _as_os_error(), self._connection.transaction():
            self._connection.execute(_LOCK)
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        with _as_os_error(), self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    def size(self) -> int:
        return int(self._one(_LAST, default=0))

    def insert(self, page: Page) -> None:
        row = (page.first, page.last, page.hashes, page.nodes, page.bodies)
        self._run("INSERT INTO ledger_pages VALUES (%s, %s, %s, %s, %s)", row)

    def pages(
        self, first: int = 1, last: int | None = None, *, backwards: bool = False, holding: bytes = b""
    ) -> Iterator[Page]:
        query = _PAGES + ("DESC" if backwards else "ASC")
        end = SEQ_MAX if last is None else min(last, SEQ_MAX)
        for row in self._rows(query, (end, holding, min(first, SEQ_MAX))):
            yield Page(*row)

    def leaves(self, first: int, last: int) -> bytes:
        return b"".join(
            hashes[max(first - start, 0) * 32 : (min(last, end) - start + 1) * 32]
            for start, end, hashes in self._rows(_LEAVES, (last, first))
        )

    def nodes_at(self, seq: int) -> tuple[int, bytes]:
        query: LiteralString = (
            "SELECT first, nodes, last FROM ledger_pages WHERE first <= %s ORDER BY first DESC LIMIT 1"
        )
        row = self._run(query, (seq,)).fetchone()
        if row is None or row[2] < seq:
            raise KeyError(seq)
        return int(row[0]), bytes(row[1])

    def replace_bodies(self, first: int, bodies: bytes) -> None:
        self._run("SELECT set_config('garrison.pruning', %s, true)", (str(first),))
        self._run("UPDATE ledger_pages SET bodies = %s WHERE first = %s", (bodies, first))
        self._run("SELECT set_config('garrison.pruning', '', true)")

    def mark(self, name: str) -> int:
        return int(self._one("SELECT position FROM ledger_marks WHERE name = %s", (name,), 0))

    def set_marks(self, marks: Sequence[tuple[str, int]]) -> None:
        query: LiteralString = (
            "INSERT INTO ledger_marks VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position"
        )
        for mark in marks:
            self._run(query, mark)

    def fact(self, name: str) -> str:
        return str(self._one("SELECT value FROM ledger_facts WHERE name = %s", (name,), ""))

    def set_fact(self, name: str, value: str) -> None:
        query: LiteralString = (
            "INSERT INTO ledger_facts VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value"
        )
        self._run(query, (name, value))

    def checkpoints(self, newest_only: bool = False) -> Iterator[tuple[int, str]]:
        query: LiteralString = "SELECT size, note FROM ledger_checkpoints ORDER BY size "
        found = self._run(query + "DESC LIMIT 1") if newest_only else self._rows(query + "ASC")
        for size, note in found:
            yield int(size), str(note)

    def add_checkpoint(self, size: int, text: str) -> None:
        self._run("INSERT INTO ledger_checkpoints VALUES (%s, %s)", (size, text))

    def close(self) -> None:
        self._connection.close()

    def _prepare(self, create: bool, read_only: bool) -> None:
        if self._connection.info.server_version < VERSION_MIN:
            raise Unsupported("ledger.postgres_version", "The ledger needs PostgreSQL 12 or newer.")
        self._run("SELECT set_config('lock_timeout', %s, false)", (str(WAIT_MS),))
        if self._one("SHOW synchronous_commit") in ("off", "local") and not read_only:
            self._run("SET synchronous_commit TO on")  # what was acknowledged is durable, whatever the server's habit
        if create:
            with self.writing():
                if not self._is_there():
                    self._connection.execute(_SCHEMA)
        elif not self._is_there():
            raise FileNotFoundError("the database holds no ledger")

    def _is_there(self) -> bool:
        return self._one("SELECT to_regclass('ledger_facts')") is not None

    def _one(self, query: LiteralString, values: Sequence[object] = (), default: Any = None) -> Any:
        row = self._run(query, values).fetchone()
        return row[0] if row else default

    def _run(self, query: LiteralString, values: Sequence[object] = ()) -> psycopg.Cursor[Any]:
        with _as_os_error():
            return self._connection.execute(query, values, binary=True)

    def _rows(self, query: LiteralString, values: Sequence[object] = ()) -> Iterator[Any]:
        """Rows as they are needed, not all at once. Within a transaction."""
        with _as_os_error(), self._connection.cursor(f"garrison_{next(self._cursors)}", binary=True) as cursor:
            cursor.itersize = ROWS_AT_A_TIME
            cursor.execute(query, values)
            yield from cursor


@contextmanager
def _as_os_error() -> Iterator[None]:
    """What goes wrong looks like a disk that fails: calls are refused, entries kept, and it is tried again."""
    try:
        yield
    except psycopg.Error as error:
        raise ConnectionError(str(error).strip() or type(error).__name__) from None
