from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import NotFound, Unavailable
from garrison.protection.entries import GAP, Entry, EntryKind, encode
from garrison.protection.head import head_path, read_head
from garrison.protection.ledger import Ledger, LedgerSettings, record_once
from garrison.protection.merkle import leaf_hash
from garrison.protection.reader import Filter, tail, verify
from garrison.telemetry.redaction import redactor


def entry(number: int, call: str = "") -> Entry:
    return Entry(number, "call.outcome", call or f"call{number}", "alice", "tools/call", "git", "status", "ok", 12)


def fill(path: Path, count: int, per_page: int = 4) -> None:
    ledger = Ledger(path)
    for number in range(1, count + 1):
        ledger.append(entry(number))
        if number % per_page == 0:
            ledger.flush()
    assert ledger.close() == 0


def tamper(path: Path, *statements: str) -> None:
    """Change the database as somebody would who does not mind triggers."""
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER IF EXISTS pages_never_change")
    connection.execute("DROP TRIGGER IF EXISTS pages_never_go")
    connection.execute("DROP TRIGGER IF EXISTS pages_only_grow")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_what_is_appended_is_shown_verified_and_private(ledger: Ledger, path: Path) -> None:
    for number in range(1, 11):
        ledger.append(entry(number))
    ledger.flush()
    shown = ledger.tail(3)
    assert [one.seq for one in shown] == [8, 9, 10]
    assert shown[2].entry == entry(10)
    assert shown[2].hash == leaf_hash(encode(entry(10), redactor)).hex()
    assert ledger.verify().ok
    assert ledger.verify().entries == 10
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_intent_and_outcome_of_a_call_are_found_by_its_id(ledger: Ledger) -> None:
    ledger.append(Entry(1, "call.intent", "abc"))
    ledger.append(Entry(2, "call.outcome", "xyz", target="abc"))
    ledger.append(Entry(3, "call.outcome", "abc", outcome="ok"))
    ledger.flush()
    assert [one.seq for one in ledger.show("abc")] == [1, 3]
    assert [one.entry.call for one in ledger.show(2)] == ["xyz"]
    for missing in ("nope", 4, 0, -1, 2**70):
        with pytest.raises(NotFound, match=r"has no entry"):
            ledger.show(missing)


def test_the_tail_can_be_filtered(path: Path) -> None:
    ledger = Ledger(path)
    for number in range(1, 301):
        kind: EntryKind = "refusal" if number % 100 == 0 else "call.outcome"
        ledger.append(Entry(number * 10, kind, f"c{number}", "bob" if number % 2 else "eve", server=f"s{number % 3}"))
    ledger.close()
    assert [one.seq for one in tail(path, 10, Filter(kind="refusal"))] == [100, 200, 300]
    assert [one.seq for one in tail(path, 2, Filter(principal="eve", server="s0"))] == [294, 300]
    assert [one.seq for one in tail(path, 9, Filter(since_ns=50, until_ns=80))] == [5, 6, 7, 8]
    assert [one.seq for one in tail(path, 9, Filter(after_seq=297))] == [298, 299, 300]
    assert tail(path, 9, Filter(call="none")) == []


def test_the_view_shows_entries_to_any_sqlite_client(path: Path) -> None:
    fill(path, 6)
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT seq, time_ns, principal, target, outcome, duration_us, hash FROM entries"
    ).fetchall()
    connection.close()
    assert [row[:6] for row in rows] == [(number, number, "alice", "status", "ok", 12) for number in range(1, 7)]
    assert [row[6] for row in rows] == [one.hash for one in tail(path, 6)]


def test_the_database_refuses_update_and_delete(path: Path) -> None:
    fill(path, 4)
    connection = sqlite3.connect(path)
    for statement in ("UPDATE pages SET bodies = ''", "DELETE FROM pages", "REPLACE INTO pages SELECT * FROM pages"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()
    assert verify(path).ok


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE pages SET bodies = replace(bodies, 'call6', 'call7') WHERE first = 5", 6),
        ("UPDATE pages SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE first = 9", 9),
        ("DELETE FROM pages WHERE first = 5", 5),
        ("DELETE FROM pages WHERE first = 17", 17),
        ("DELETE FROM pages", 1),
        ("UPDATE pages SET last = last + 1 WHERE first = 17", 21),
        ("UPDATE pages SET first = first + 100 WHERE first = 17", 17),
    ],
)
def test_tampering_in_the_database_is_found_and_located(path: Path, statement: str, first_bad: int) -> None:
    fill(path, 20)
    tamper(path, statement)
    verdict = verify(path)
    assert not verdict.ok
    assert verdict.first_bad_seq == first_bad, verdict


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_byte_of_the_file_can_change_what_is_read_unnoticed(path: Path, data: st.DataObject) -> None:
    if not path.exists():
        fill(path, 30)
    whole = path.read_bytes()
    truth = tail(path, 100)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        if verify(path).ok:
            assert tail(path, 100) == truth
    finally:
        path.write_bytes(whole)


def test_a_deleted_database_is_found_by_the_head(path: Path) -> None:
    fill(path, 5)
    path.unlink()
    assert not verify(path).ok


def test_a_home_without_a_ledger_is_not_a_broken_one(path: Path) -> None:
    assert verify(path).ok
    with pytest.raises(NotFound):
        tail(path)


def test_a_file_that_is_no_database_is_a_verdict_and_an_error(path: Path) -> None:
    path.write_bytes(b"x" * 5000)
    assert not verify(path).ok
    with pytest.raises(Unavailable, match="cannot be read"):
        tail(path)
    with pytest.raises(Unavailable, match="cannot be written"):
        Ledger(path)


def test_a_writer_that_finds_the_end_missing_puts_that_on_the_record(path: Path) -> None:
    fill(path, 20)
    tamper(path, "DELETE FROM pages WHERE first > 12")
    ledger = Ledger(path)
    ledger.append(entry(99))
    ledger.close()
    [gap, after] = tail(path, 2)
    assert (gap.entry.action, gap.seq, after.seq) == (GAP, 13, 14)
    assert gap.entry.detail == {"reason": "entries are missing at the end", "from": 13, "to": 20}
    verdict = verify(path)
    assert (verdict.ok, verdict.first_bad_seq) == (False, 13)
    Ledger(path).close()
    assert len(tail(path, 50)) == 14, "it is recorded once"


def test_a_lost_head_file_is_reported(path: Path) -> None:
    fill(path, 3)
    head_path(path).unlink()
    assert "head file is missing" in verify(path).reason


def test_the_head_file_follows_every_commit(ledger: Ledger, path: Path) -> None:
    assert read_head(path) is not None
    ledger.append(entry(1))
    ledger.flush()
    eventually(lambda: (head := read_head(path)) is not None and head.seq == 1)


async def test_a_durable_entry_is_in_the_database_when_its_future_is_done(ledger: Ledger, path: Path) -> None:
    numbers = await asyncio.gather(*(ledger.append_durable(entry(number)) for number in range(50)))
    assert sorted(numbers) == list(range(1, 51))
    assert len(tail(path, 100)) == 50


async def test_a_durable_entry_does_not_wait_for_the_window(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(window_s=30.0))
    ledger.append(entry(1))
    assert await asyncio.wait_for(ledger.append_durable(entry(2)), 5) == 2
    ledger.close()


async def test_a_cancelled_wait_disturbs_nobody(ledger: Ledger) -> None:
    first = ledger.append_durable(entry(1))
    first.cancel()
    assert await ledger.append_durable(entry(2)) == 2


async def test_strict_commits_at_once(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(durability="strict", window_s=30.0))
    ledger.append(entry(1))
    eventually(lambda: ledger.committed == 1)
    assert ledger.record(entry(2)) == 2
    ledger.close()


def test_entries_stay_in_the_order_in_which_a_thread_appended_them(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(window_s=0.001))

    def write(who: int) -> None:
        for number in range(500):
            ledger.append(entry(number, f"t{who}"))

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    for who in range(4):
        assert [one.entry.time_ns for one in tail(path, 5000, Filter(call=f"t{who}"))] == list(range(500))
    assert verify(path).entries == 2000


def append_until_refused(ledger: Ledger) -> tuple[int, Unavailable]:
    for number in range(1000):
        try:
            ledger.append(entry(number))
        except Unavailable as error:
            return number, error
    raise AssertionError("nothing was refused")


def test_a_full_queue_refuses_instead_of_blocking(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(window_s=30.0, queue_max=10))
    accepted, refusal = append_until_refused(ledger)
    assert refusal.code == "ledger.unwritable"
    assert "too many" in refusal.message
    assert ledger.close() == 0
    assert 10 <= accepted <= 11
    assert verify(path).entries == accepted


def test_a_full_spool_refuses_instead_of_blocking(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(window_s=30.0, spool_bytes=4096))
    accepted, refusal = append_until_refused(ledger)
    assert "too many" in refusal.message
    ledger.close()
    assert verify(path).entries == accepted


def test_a_closed_ledger_refuses_and_closing_twice_is_fine(path: Path) -> None:
    ledger = Ledger(path)
    ledger.append(entry(1))
    assert ledger.close() == 0
    assert ledger.close() == 0
    with pytest.raises(Unavailable, match="closed"):
        ledger.append(entry(2))
    with pytest.raises(Unavailable, match="closed"):
        ledger.flush()
    assert verify(path).entries == 1


def test_a_short_command_records_beside_a_running_gateway(ledger: Ledger, path: Path) -> None:
    ledger.append(entry(1))
    ledger.flush()
    assert record_once(path, Entry(2, "change", action="keys.create"), ManualClock()) == 2
    ledger.append(entry(3))
    ledger.flush()
    assert [one.entry.time_ns for one in tail(path)] == [1, 2, 3]
    assert verify(path).ok
