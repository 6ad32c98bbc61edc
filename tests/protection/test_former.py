"""A ledger of the former format, a chain of hashes, is taken over: nothing is lost, nothing gets better."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from garrison.kernel.errors import Conflict
from garrison.protection.entries import GAP, Entry, encode
from garrison.protection.head import head_path, read_head
from garrison.protection.ledger import Ledger, record_once
from garrison.protection.reader import tail, verify
from garrison.protection.records import TAKEN_OVER
from garrison.protection.spool import Spool
from garrison.telemetry.redaction import redactor

SCHEMA = """
CREATE TABLE pages (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, hashes BLOB NOT NULL, bodies TEXT NOT NULL)
STRICT;
CREATE TABLE marks (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER pages_never_change BEFORE UPDATE ON pages BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER pages_never_go BEFORE DELETE ON pages BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER pages_only_grow BEFORE INSERT ON pages
WHEN NEW.first <> 1 + coalesce((SELECT last FROM pages ORDER BY first DESC LIMIT 1), 0)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE VIEW entries AS SELECT first + key AS seq FROM pages, json_each('[' || replace(bodies, char(10), ',') || ']');
"""


def entry(number: int) -> Entry:
    return Entry(number, "call.outcome", f"c{number}", "alice", "tools/call", "git", "ünï", "ok", 12)


def a_former_ledger(path: Path, count: int, *extra: bytes, per_page: int = 7) -> bytes:
    """As the former format wrote it; returns the chain's last hash."""
    bodies = [*(encode(entry(number), redactor) for number in range(1, count + 1)), *extra]
    connection, previous = sqlite3.connect(path), bytes(32)
    connection.executescript(SCHEMA)
    for start in range(0, len(bodies), per_page):
        part, hashes = bodies[start : start + per_page], []
        for seq, body in enumerate(part, start + 1):
            previous = sha256(previous + seq.to_bytes(8, "big") + body).digest()
            hashes.append(previous)
        row = (start + 1, start + len(part), b"".join(hashes), b"\n".join(part).decode())
        connection.execute("INSERT INTO pages VALUES (?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    head_path(path).write_bytes(b"%020d %s\n" % (len(bodies), previous.hex().encode()))
    return previous


def tamper(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER pages_never_change")
    connection.execute("DROP TRIGGER pages_never_go")
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("count", [1, 20, 1000])
def test_it_is_taken_over_with_every_entry_and_says_so(path: Path, count: int) -> None:
    chain = a_former_ledger(path, count)
    Ledger(path).close()
    found = tail(path, count + 1)
    assert [one.entry for one in found[:-1]] == [entry(number) for number in range(1, count + 1)]
    record = found[-1].entry
    assert (record.action, record.outcome, record.detail) == (
        TAKEN_OVER,
        "ok",
        {"entries": count, "chain": chain.hex()},
    )
    verdict = verify(path)
    assert (verdict.ok, verdict.entries) == (True, count + 1), verdict
    Ledger(path).close()
    assert len(tail(path, count + 9)) == count + 1, "it is taken over once"


def test_reading_it_says_what_to_do_and_changes_nothing(path: Path) -> None:
    a_former_ledger(path, 3)
    before = path.read_bytes()
    for read in (tail, verify):
        with pytest.raises(Conflict) as caught:
            read(path)
        assert caught.value.code == "ledger.former_format"
        assert "garrison audit checkpoint" in caught.value.hint
    assert path.read_bytes() == before


def test_a_short_command_takes_it_over_too(path: Path) -> None:
    a_former_ledger(path, 3)
    assert record_once(path, Entry(9, "change", action="keys.create")) == 5
    assert verify(path).ok


def test_what_a_killed_process_left_in_its_spool_comes_behind_it(path: Path) -> None:
    a_former_ledger(path, 3)
    spool = Spool(path.with_name("ledger.spool-0a1b2c3d"), 4096)
    spool.put(encode(entry(4), redactor))
    spool.close()
    Ledger(path).close()
    assert [one.entry.time_ns for one in tail(path, 9) if one.entry.action != TAKEN_OVER] == [1, 2, 3, 4]
    assert verify(path).ok


@pytest.mark.parametrize(
    ("statement", "first_bad", "reason"),
    [
        ("UPDATE pages SET bodies = replace(bodies, '\"c9\"', '\"c8\"')", 9, "not what was written"),
        ("DELETE FROM pages WHERE first > 14", 15, "missing at the end"),
        ("DELETE FROM pages WHERE first = 8", 8, "missing or out of order"),
    ],
)
def test_one_that_does_not_hold_never_holds_again(path: Path, statement: str, first_bad: int, reason: str) -> None:
    a_former_ledger(path, 20)
    tamper(path, statement)
    Ledger(path).close()
    verdict = verify(path)
    assert (verdict.ok, verdict.first_bad_seq) == (False, first_bad), verdict
    assert reason in verdict.reason


def test_one_whose_head_is_lost_or_that_recorded_a_gap_does_not_hold_either(tmp_path: Path) -> None:
    headless, gappy = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    a_former_ledger(headless, 5)
    head_path(headless).unlink()
    a_former_ledger(gappy, 5, encode(Entry(6, "change", action=GAP, outcome="found"), redactor))
    for path in (headless, gappy):
        Ledger(path).close()
        assert not verify(path).ok
        assert verify(path).first_bad_seq == 6


def test_killed_between_the_take_over_and_the_head_file_it_raises_no_alarm(path: Path) -> None:
    a_former_ledger(path, 5)
    former = head_path(path).read_bytes()
    Ledger(path).close()
    head_path(path).write_bytes(former)
    assert verify(path).ok
    Ledger(path).close()
    assert verify(path).ok
    record_once(path, entry(7))
    head = read_head(path)
    assert head is not None
    assert (head.seq, len(head.root)) == (7, 32)
