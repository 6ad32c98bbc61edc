"""When checkpoints are signed, by which key, and what a killed process leaves."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from garrison.kernel.clock import ManualClock
from garrison.protection import verifying
from garrison.protection.entries import Entry
from garrison.protection.ledger import Ledger, LedgerSettings, record_once, writing_once
from garrison.protection.log import Log
from garrison.protection.notes import Checkpoint, PublicKey, parse
from garrison.protection.place import Place
from garrison.protection.reader import tail, verify
from garrison.protection.reading import open_reading
from garrison.protection.records import KEY
from garrison.protection.signing import KeyFile
from garrison.protection.store import Store
from garrison.protection.verifying import public_key, verify_log
from garrison.protection.writer import CheckpointRhythm


class Killed(BaseException):
    """Ends everything, as a signal would."""


def entry(number: int) -> Entry:
    return Entry(number, "call.outcome", f"call{number}", "alice", "tools/call", "git", "status", "ok", 12)


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def checkpoints(path: Path) -> list[Checkpoint]:
    with open_reading(path) as store:
        found = [parse(note) for _, note in store.checkpoints()]
    return [one for one in found if one is not None]


def fill(path: Path, count: int, rhythm: CheckpointRhythm | None = None) -> None:
    ledger = Ledger(path, LedgerSettings(checkpoints=rhythm or CheckpointRhythm()))
    for number in range(1, count + 1):
        ledger.append(entry(number))
        if number % 10 == 0:
            ledger.flush()
    ledger.close()


def vouch(path: Path) -> Checkpoint:
    with writing_once(path, ManualClock()) as log:
        made = log.checkpoint()
    assert made is not None
    return made


def test_one_is_signed_at_shutdown_and_stands_in_a_file_too(path: Path) -> None:
    fill(path, 25)
    [only] = checkpoints(path)
    assert only.head.seq == 25
    place = Place(path)
    assert place.checkpoint.read_text() == only.note
    assert stat.S_IMODE(place.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.checkpoint.stat().st_mode) == 0o600
    with open_reading(path) as store:
        assert only.is_signed_by(public_key(place, store))


def test_they_are_signed_by_count(path: Path) -> None:
    fill(path, 100, CheckpointRhythm(entries=30))
    assert [one.head.seq for one in checkpoints(path)] == [30, 60, 90, 100]
    assert verify(path).checkpoints == 4


def test_they_are_signed_by_time_without_another_entry(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(checkpoints=CheckpointRhythm(window_s=0.02)))
    ledger.record(entry(1))
    eventually(lambda: len(checkpoints(path)) == 1)
    ledger.close()
    assert len(checkpoints(path)) == 1, "nothing new, nothing to sign"


def test_an_empty_ledger_has_nothing_to_vouch_for(path: Path) -> None:
    Ledger(path).close()
    with writing_once(path) as log:
        assert log.checkpoint() is None


def test_entries_do_not_wait_for_a_key_that_cannot_be_used(path: Path) -> None:
    Ledger(path).close()
    Place(path).key.write_text("no key")
    ledger = Ledger(path, LedgerSettings(checkpoints=CheckpointRhythm(entries=1)))
    assert [ledger.record(entry(number)) for number in (1, 2)] == [1, 2]
    assert ledger.close() == 0
    assert checkpoints(path) == []


def test_a_rotated_key_is_on_the_record_and_signed_by_both(path: Path) -> None:
    fill(path, 5)
    [first] = checkpoints(path)
    with open_reading(path) as store:
        former = public_key(Place(path), store)
    with writing_once(path) as log:
        log.rotate_key("alice")
    record_once(path, entry(7))
    vouch(path)
    with open_reading(path) as store:
        new = public_key(Place(path), store)
    made, last = checkpoints(path)[1:]
    assert (first.is_signed_by(former), made.is_signed_by(former), made.is_signed_by(new)) == (True, True, True)
    assert (last.is_signed_by(former), last.is_signed_by(new)) == (False, True)
    [record] = [one.entry for one in tail(path) if one.entry.action == KEY]
    assert (record.principal, record.outcome) == ("alice", "rotated")
    assert record.detail == {"former": str(former), "new": str(new)}
    assert verify(path).ok


def test_a_key_that_is_rotated_while_it_is_verified_is_no_mismatch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, 5)
    vouch(path)
    read = verifying.public_key
    rotated: list[Checkpoint] = []

    def rotated_first(place: Place, store: Store) -> PublicKey:
        if not rotated:  # the walk has read the log with its former key
            with writing_once(path, ManualClock()) as log:
                rotated.append(log.rotate_key("alice"))
        return read(place, store)

    monkeypatch.setattr(verifying, "public_key", rotated_first)
    assert verify_log(path).ok
    assert len(rotated) == 1


def test_a_running_fleet_signs_with_the_rotated_key(path: Path) -> None:
    ledger = Ledger(path, LedgerSettings(checkpoints=CheckpointRhythm(entries=1)))
    ledger.record(entry(1))
    with writing_once(path) as log:
        log.rotate_key("alice")
    ledger.record(entry(3))
    ledger.close()
    verdict = verify(path)
    assert verdict.ok, verdict
    assert len([one for one in tail(path) if one.entry.action == KEY]) == 1


def test_many_rotations_verify_from_the_newest_key_down(path: Path) -> None:
    for number in range(4):
        record_once(path, entry(number))
        vouch(path)
        with writing_once(path) as log:
            log.rotate_key("alice")
    verdict = verify(path)
    assert (verdict.ok, verdict.checkpoints) == (True, 8), verdict


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_rotation_that_was_killed_is_ended_or_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Before: the new key waits, and nothing is recorded. After: it is recorded, and still waits."""
    fill(path, 5)

    def die_at(owner: type, name: str, wanted: int) -> None:
        real, calls = getattr(owner, name), []

        def dies(*values: object) -> object:
            calls.append(1)
            if len(calls) == wanted:
                raise Killed
            return real(*values)

        monkeypatch.setattr(owner, name, dies)

    if moment == "before":
        die_at(Log, "_vouch", 1)
    else:
        die_at(KeyFile, "take_next", 2)
    with pytest.raises(Killed), writing_once(path) as log:
        log.rotate_key("alice")
    monkeypatch.undo()
    assert verify(path).ok, "no false alarm meanwhile"
    record_once(path, entry(9))
    vouch(path)
    verdict = verify(path)
    assert verdict.ok, verdict
    rotations = [one for one in tail(path) if one.entry.action == KEY]
    assert len(rotations) == (0 if moment == "before" else 1)


def test_a_lost_key_is_replaced_and_that_is_on_the_record(path: Path) -> None:
    fill(path, 5)
    Place(path).key.unlink()
    verdict = verify(path)
    assert (verdict.ok, "Ed25519" in verdict.reason) == (False, True), verdict
    record_once(path, entry(6))
    vouch(path)
    [record] = [one.entry for one in tail(path) if one.entry.action == KEY]
    assert record.outcome == "lost"
    assert verify(path).ok


def test_another_key_does_not_make_another_log_true(path: Path) -> None:
    """Whoever replaces the key without the record of it is found; one who writes that as well is on the record."""
    fill(path, 5)
    KeyFile(Place(path).key, "x").prepare_next()
    Place(path).key.with_name("ledger.key.next").replace(Place(path).key)
    verdict = verify(path)
    assert not verdict.ok
    assert "key" in verdict.reason


def test_a_cut_or_rolled_back_ledger_is_found_by_a_checkpoint_kept_elsewhere(path: Path) -> None:
    """All files of an older state are put back: only what is kept elsewhere can know."""
    fill(path, 20)
    older = {file: file.read_bytes() for file in path.parent.iterdir() if "spool" not in file.name}
    record_once(path, entry(21))
    kept = vouch(path)
    assert verify_log(path, [kept]).ok
    for file in path.parent.iterdir():
        if "spool" not in file.name:
            file.unlink()
    for file, content in older.items():
        file.write_bytes(content)
    assert verify(path).ok, "it is a true state of the past"
    verdict = verify_log(path, [kept])
    assert (verdict.ok, verdict.first_bad_seq) == (False, 21)
    assert "kept elsewhere" in verdict.reason
    record_once(path, entry(99))
    vouch(path)
    verdict = verify_log(path, [kept])
    assert not verdict.ok
    assert "rewritten" in verdict.reason


def test_a_checkpoint_of_another_log_is_not_taken(path: Path, tmp_path: Path) -> None:
    fill(path, 5)
    other = tmp_path / "other.sqlite"
    fill(other, 5)
    verdict = verify_log(path, [vouch(other)])
    assert not verdict.ok


def test_several_processes_make_one_key(tmp_path: Path) -> None:
    one, other = KeyFile(tmp_path / "k", "name"), KeyFile(tmp_path / "k", "name")
    one._make()
    other._make()
    assert one.public() == other.public()
    assert isinstance(one.private(), Ed25519PrivateKey)
    assert [file.name for file in tmp_path.iterdir()] == ["k"]
