"""Every byte of a ledger that means something, one after another: whatever is changed of it is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from garrison.kernel.clock import ManualClock
from garrison.protection.entries import Entry, encode
from garrison.protection.head import head_path
from garrison.protection.ledger import Ledger, writing_once
from garrison.protection.log import Log
from garrison.protection.merkle import BLOCK
from garrison.protection.place import Place
from garrison.protection.reader import verify
from garrison.telemetry.redaction import redactor

TRIGGERS = (
    "pages_never_change",
    "pages_never_go",
    "pages_only_grow",
    "checkpoints_never_change",
    "checkpoints_never_go",
)
FLIPS = (1, 0x80)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight entries in three pages, a pruned one among them, two checkpoints, a rotated key."""
    path = tmp_path_factory.mktemp("small") / "ledger.sqlite"
    bodies = [encode(Entry(number, "call.intent", f"c{number}", target="ü"), redactor) for number in range(1, 7)]
    log = Log(Place(path), ManualClock())
    log.append(bodies[:4])
    log.append(bodies[4:])
    log.checkpoint()
    log.prune([(2, 2)], "alice", "retention")
    log.rotate_key("alice")
    log.close()
    return path


@pytest.fixture
def database(small: Path) -> Iterator[sqlite3.Connection]:
    """Without its triggers, as one who means it would open it."""
    connection = sqlite3.connect(small, isolation_level=None)
    for trigger in TRIGGERS:
        connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    yield connection
    connection.close()
    assert verify(small).ok, "the test put everything back"


def changed(value: bytes) -> Iterator[bytes]:
    for at in range(len(value)):
        for flip in FLIPS:
            other = bytearray(value)
            other[at] ^= flip
            yield bytes(other)


def test_it_holds_as_it_is(small: Path) -> None:
    verdict = verify(small)
    assert (verdict.ok, verdict.entries, verdict.checkpoints, verdict.pruned) == (True, 8, 2, 1), verdict


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "column"),
    [("pages", "bodies"), ("pages", "hashes"), ("checkpoints", "note"), ("facts", "value")],
)
def test_no_byte_of_the_database_can_be_changed(
    small: Path, database: sqlite3.Connection, table: str, column: str
) -> None:
    rows = database.execute(f"SELECT rowid, CAST({column} AS BLOB) FROM {table}").fetchall() if table != "facts" else []
    if table == "facts":
        rows = database.execute("SELECT name, CAST(value AS BLOB) FROM facts").fetchall()
    name = "name" if table == "facts" else "rowid"
    kind = "BLOB" if column == "hashes" else "TEXT"
    put = f"UPDATE {table} SET {column} = CAST(? AS {kind}) WHERE {name} = ?"
    for row, value in rows:
        for other in changed(value):
            database.execute(put, (other, row))
            verdict = verify(small)
            assert not verdict.ok, (row, other)
        database.execute(put, (value, row))


@pytest.mark.parametrize(("table", "column"), [("pages", "first"), ("pages", "last"), ("checkpoints", "size")])
def test_no_number_of_the_database_can_be_changed(
    small: Path, database: sqlite3.Connection, table: str, column: str
) -> None:
    for [number] in database.execute(f"SELECT {column} FROM {table}").fetchall():
        for bit in range(62):
            other = number ^ (1 << bit)
            if database.execute(f"SELECT 1 FROM {table} WHERE {column} = ?", (other,)).fetchone():
                continue
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (other, number))
            assert not verify(small).ok, (table, column, number, other)
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (number, other))


def test_rows_cannot_go_and_bodies_cannot_be_blanked(small: Path, database: sqlite3.Connection) -> None:
    for statement in (
        "DELETE FROM pages WHERE first = 1",
        "DELETE FROM pages WHERE first = 5",
        "DELETE FROM pages WHERE first > 6",
        "UPDATE pages SET bodies = 'null' || substr(bodies, instr(bodies, char(10))) WHERE first = 1",
        "UPDATE pages SET bodies = '' WHERE first = 5",
        "DELETE FROM facts WHERE name = 'key'",
        "DELETE FROM facts WHERE name = 'origin'",
    ):
        database.execute("BEGIN")
        database.execute(statement)
        database.execute("COMMIT")
        assert not verify(small).ok, statement
        _put_back(small, database)


def _put_back(small: Path, database: sqlite3.Connection) -> None:
    copy = sqlite3.connect(small.with_name("copy"))
    copy.backup(database)
    copy.close()
    for trigger in TRIGGERS:
        database.execute(f"DROP TRIGGER IF EXISTS {trigger}")


@pytest.fixture(autouse=True)
def copied(small: Path) -> None:
    """A copy to put back from, once."""
    if not small.with_name("copy").exists():
        source, copy = sqlite3.connect(small), sqlite3.connect(small.with_name("copy"))
        source.backup(copy)
        source.close()
        copy.close()


@pytest.mark.parametrize("file", [head_path, lambda path: Place(path).checkpoint])
def test_no_byte_of_the_files_beside_it_can_be_changed(small: Path, file: Callable[[Path], Path]) -> None:
    whole = file(small).read_bytes()
    for other in changed(whole):
        file(small).write_bytes(other)
        assert not verify(small).ok, other
    file(small).write_bytes(whole)
    assert verify(small).ok


def test_no_byte_of_a_stored_node_can_be_changed(path: Path) -> None:
    ledger = Ledger(path)
    for number in range(4 * BLOCK):
        ledger.append(Entry(number, "call.intent"))
        if number % 300 == 299:
            ledger.flush()
    ledger.close()
    connection = sqlite3.connect(path, isolation_level=None)
    for trigger in TRIGGERS:
        connection.execute(f"DROP TRIGGER {trigger}")
    found = connection.execute("SELECT first, nodes FROM pages WHERE length(nodes) > 0").fetchall()
    assert sum(len(nodes) // 32 for _, nodes in found) == 4 + 2 + 1
    for first, nodes in found:
        for at in range(0, len(nodes), 5):
            other = bytes(byte ^ (place == at) for place, byte in enumerate(nodes))
            connection.execute("UPDATE pages SET nodes = ? WHERE first = ?", (other, first))
            assert verify(path).first_bad_seq == first
        connection.execute("UPDATE pages SET nodes = ? WHERE first = ?", (nodes, first))
    connection.close()
    assert verify(path).ok


def test_a_ledger_written_anew_with_all_its_hashes_is_found_by_any_checkpoint(path: Path, tmp_path: Path) -> None:
    """One who can compute everything but the signature."""
    for target, word in ((path, "truth"), (tmp_path / "forged.sqlite", "lie")):
        with writing_once(target, ManualClock()) as log:
            log.note(log.append([encode(Entry(1, "call.intent", word), redactor)] * 3))
            log.checkpoint()
    (tmp_path / "forged.sqlite").replace(path)
    head_path(path).write_bytes(head_path(tmp_path / "forged.sqlite").read_bytes())
    Place(path).checkpoint.unlink()
    verdict = verify(path)
    assert not verdict.ok
    assert "key" in verdict.reason or "signed" in verdict.reason
