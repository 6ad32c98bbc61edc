"""What happens to the ledger when the machine or its operators turn against it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from garrison.kernel.errors import Unavailable
from garrison.protection.entries import Entry
from garrison.protection.ledger import Ledger, LedgerSettings
from garrison.protection.reader import tail, verify

HEADER = """
import asyncio, os, resource, sys, time
from pathlib import Path
from garrison.kernel.errors import Unavailable
from garrison.protection.entries import Entry
from garrison.protection.ledger import Ledger, LedgerSettings, record_once
path = Path(sys.argv[1])
"""
APPEND_UNTIL_KILLED = """
ledger = Ledger(path, LedgerSettings(window_s=WINDOW))
number = 0
while True:
    number += 1
    try:
        ledger.append(Entry(number, "call.intent", f"call{number}"))
    except Unavailable:
        time.sleep(0.01)
        number -= 1
        continue
    os.write(1, b"%d\\n" % number)
"""
DURABLE_UNTIL_KILLED = """
async def main():
    ledger = Ledger(path, LedgerSettings(durability="strict", spool_bytes=0))
    number = 0
    while True:
        batch = range(number + 1, number + 21)
        await asyncio.gather(*(ledger.append_durable(Entry(one, "call.intent", f"call{one}")) for one in batch))
        number += 20
        os.write(1, b"%d\\n" % number)
asyncio.run(main())
"""
APPEND_MANY = """
ledger = Ledger(path, LedgerSettings(window_s=0.002))
for number in range(400):
    ledger.append(Entry(number, "call.intent", f"{sys.argv[2]}"))
    if number % 20 == 0:
        ledger.flush()
assert ledger.close() == 0
"""
RECORD_MANY = """
for number in range(40):
    record_once(path, Entry(number, "change", f"{sys.argv[2]}"))
"""
LIMITED_FILE_SIZE = """
limit, hard = 400_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
ledger = Ledger(path, LedgerSettings(window_s=0.001, spool_bytes=64_000))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
accepted = 0
deadline = time.monotonic() + 40

def stays_broken():
    until = time.monotonic() + 1
    while time.monotonic() < until:
        if not ledger.problem:
            return False
        time.sleep(0.01)
    return True

while True:
    assert time.monotonic() < deadline, "the limit was not reached"
    try:
        ledger.append(Entry(accepted, "call.intent", "x" * 200))
        accepted += 1
    except Unavailable as error:
        assert error.code == "ledger.unwritable", error.code
        time.sleep(0.001)
        if stays_broken():
            break
for _ in range(3):
    try:
        ledger.append(Entry(0, "call.intent", "must be refused"))
    except Unavailable:
        pass
    else:
        raise AssertionError("accepted while the disk is full")
    time.sleep(0.3)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
while ledger.problem and time.monotonic() < deadline:
    time.sleep(0.01)
assert not ledger.problem, ledger.problem
ledger.append(Entry(accepted, "call.intent", "after"))
accepted += 1
assert ledger.close() == 0
print(accepted)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HEADER + script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def kill_after_lines(process: subprocess.Popen[bytes], lines: int) -> int:
    """Kill -9 as soon as that many lines came; returns the number on the last line that was acknowledged."""
    assert process.stdout is not None
    with process, process.stdout as out:
        last = b""
        for _ in range(lines):
            last = out.readline()
        process.send_signal(signal.SIGKILL)
        rest = out.read().splitlines(keepends=True)
    whole = [line for line in rest if line.endswith(b"\n")]
    return int((whole or [last])[-1])


def numbers(path: Path) -> list[int]:
    return [one.entry.time_ns for one in tail(path, 10**6)]


@pytest.mark.parametrize("lines", [1, 7, 500, 3000])
def test_kill_9_loses_nothing_that_was_accepted(path: Path, lines: int) -> None:
    for window in (30.0, 0.002):
        process = start(APPEND_UNTIL_KILLED.replace("WINDOW", str(window)), path)
        acknowledged = kill_after_lines(process, lines)
        before = verify(path)
        assert before.ok, before
        Ledger(path).close()
        found = numbers(path)
        assert found == list(range(1, len(found) + 1)), "no hole, nothing twice"
        assert acknowledged <= len(found) <= acknowledged + 1
        assert verify(path).ok
        for file in path.parent.iterdir():
            file.unlink()


@pytest.mark.parametrize("lines", [1, 5, 40])
def test_kill_9_loses_nothing_durable_and_needs_no_recovery(path: Path, lines: int) -> None:
    acknowledged = kill_after_lines(start(DURABLE_UNTIL_KILLED, path), lines)
    assert verify(path).ok
    assert set(range(1, acknowledged + 1)) <= set(numbers(path))


def test_recovering_twice_records_nothing_twice(path: Path) -> None:
    kill_after_lines(start(APPEND_UNTIL_KILLED.replace("WINDOW", "30"), path), 100)
    Ledger(path).close()
    once = numbers(path)
    Ledger(path).close()
    assert numbers(path) == once


@pytest.mark.slow
def test_several_processes_write_one_chain_without_gaps_or_forks(path: Path) -> None:
    processes = [start(APPEND_MANY, path, f"p{who}") for who in range(3)]
    processes += [start(RECORD_MANY, path, f"c{who}") for who in range(2)]
    for process in processes:
        with process:
            assert process.wait(60) == 0
    verdict = verify(path)
    assert verdict.ok, verdict
    assert verdict.entries == 3 * 400 + 2 * 40
    for who in ("p0", "p1", "p2"):
        mine = [one.entry.time_ns for one in tail(path, 10**6) if one.entry.call == who]
        assert mine == list(range(400)), "each process's entries stay in order"


@pytest.mark.slow
def test_a_full_disk_refuses_calls_and_recovers_by_itself(path: Path) -> None:
    with start(LIMITED_FILE_SIZE, path) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    verdict = verify(path)
    assert verdict.ok, verdict
    assert verdict.entries == int(out), "everything that was accepted is there, nothing that was refused"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill_up(filler: Path) -> None:
    with filler.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), b"x" * 4096)
        except OSError:
            return


def drop(filler: Path) -> None:
    filler.unlink()


async def append_until_refused(ledger: Ledger) -> Unavailable:
    for number in range(300):
        try:
            await ledger.append_durable(Entry(number, "call.intent", "x" * 250))
        except Unavailable as error:
            return error
    raise AssertionError("the disk was not full enough")


async def test_a_really_full_file_system_refuses_durable_entries_and_recovers(small_disk: Path) -> None:
    path = small_disk / "ledger.sqlite"
    ledger = Ledger(path, LedgerSettings(durability="strict", spool_bytes=16_000))
    assert await ledger.append_durable(Entry(1, "call.intent")) == 1
    fill_up(small_disk / "filler")
    refusal = await append_until_refused(ledger)
    assert refusal.code == "ledger.unwritable"
    assert ledger.problem
    drop(small_disk / "filler")
    recorded = await durable_again(ledger)
    ledger.close()
    verdict = verify(path)
    assert verdict.ok, verdict
    assert verdict.entries == recorded


async def durable_again(ledger: Ledger, within_s: float = 10.0) -> int:
    """Try until the ledger accepts an entry again; returns its number."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return await ledger.append_durable(Entry(2, "call.intent", "again"))
        except Unavailable:
            assert time.monotonic() < deadline, ledger.problem
            await asyncio.sleep(0.02)


def test_a_ledger_that_is_moved_away_refuses_until_it_is_back(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(durability="strict"))
    ledger.record(Entry(1, "call.intent"))
    away = path.with_name("away")
    path.rename(away)
    with pytest.raises(Unavailable, match="no longer the file"):
        ledger.record(Entry(2, "call.intent"))
    with pytest.raises(Unavailable):
        ledger.append(Entry(3, "call.intent"))
    assert not path.exists(), "a lost ledger is never replaced by an empty one"
    away.rename(path)
    assert asyncio.run(durable_again(ledger)) == 2
    ledger.close()
    assert verify(path).ok


def test_what_could_not_be_written_at_the_end_is_recovered_at_the_next_start(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(window_s=30.0))
    away = path.with_name("away")
    path.rename(away)
    for number in range(5):
        ledger.append(Entry(number, "call.intent"))
    assert ledger.close() == 5
    away.rename(path)
    Ledger(path).close()
    assert numbers(path) == list(range(5))
    assert verify(path).ok


def test_a_locked_database_delays_but_loses_nothing(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(window_s=0.001))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    for number in range(20):
        ledger.append(Entry(number, "call.intent"))
    blocker.execute("ROLLBACK")
    blocker.close()
    ledger.flush()
    ledger.close()
    assert numbers(path) == list(range(20))
