"""Exports and proofs, verified as a stranger would: the printed program, Python alone, the public key."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Conflict, Invalid, NotFound
from garrison.protection import proven, verifier
from garrison.protection.entries import GAP, Entry
from garrison.protection.exporting import Request
from garrison.protection.ledger import Ledger, record_once, writing_once
from garrison.protection.place import Place
from garrison.protection.reader import Filter
from garrison.protection.reading import open_reading
from garrison.protection.verifier import Found, Key, Refused
from garrison.protection.verifying import public_key


def entry(number: int) -> Entry:
    return Entry(number, "call.outcome", f"call{number}", "alice", "tools/call", "git", "ünïcode ☃", "ok", 12)


def fill(path: Path, count: int) -> None:
    ledger = Ledger(path)
    for number in range(1, count + 1):
        ledger.append(entry(number))
        if number % 60 == 0:
            ledger.flush()
    ledger.close()


def exported(path: Path, first: int = 1, last: int = 0) -> list[bytes]:
    return b"".join(proven.lines(Request(Place(path), first, last))).splitlines(keepends=True)


def key_of(path: Path) -> Key:
    with open_reading(path) as store:
        return verifier.read_key(str(public_key(Place(path), store)))


def alone(tmp_path: Path, *arguments: object) -> tuple[int, str]:
    """The printed program, in an interpreter that cannot import Garrison."""
    program = tmp_path / "verify.py"
    program.write_bytes(Path(verifier.__file__).read_bytes())
    hidden = "import sys; sys.modules['garrison'] = None; sys.argv = sys.argv[1:]; "
    command = hidden + "exec(compile(open(sys.argv[0], encoding='utf-8').read(), sys.argv[0], 'exec'))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", command, program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "ledger.sqlite"
    fill(path, 700)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], Key]:
    path = tmp_path_factory.mktemp("small") / "ledger.sqlite"
    fill(path, 7)
    with writing_once(path, ManualClock()) as log:
        log.prune([(3, 3)], "alice", "retention")
    return exported(path), key_of(path)


def test_a_stranger_verifies_an_export_with_the_public_key_alone(filled: Path, tmp_path: Path) -> None:
    file, public = tmp_path / "all.jsonl", tmp_path / "ledger.pub"
    file.write_bytes(b"".join(exported(filled)))
    with open_reading(filled) as store:
        public.write_text(f"{public_key(Place(filled), store)}\n")
    code, said = alone(tmp_path, file, "--key", public)
    assert (code, "holds: entries 1 to 700" in said) == (0, True), said
    code, said = alone(tmp_path, file, "--key", public.read_text().strip())
    assert code == 0, said
    file.write_bytes(file.read_bytes().replace(b"call699", b"call698"))
    code, said = alone(tmp_path, file, "--key", public)
    assert (code, "does NOT hold" in said) == (1, True), said


@pytest.mark.parametrize(
    ("first", "last"), [(1, 1), (1, 256), (257, 512), (255, 258), (300, 300), (699, 700), (1, 700)]
)
def test_any_range_can_be_exported_and_verified(filled: Path, first: int, last: int) -> None:
    lines = exported(filled, first, last)
    assert len(lines) == last - first + 2
    found = verifier.verify_export(lines, key_of(filled))
    assert (found.first, found.last, found.checkpoint.size) == (first, last, 700)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(0, 699))
def test_no_range_is_special(filled: Path, first: int, more: int) -> None:
    last = min(700, first + more)
    assert verifier.verify_export(exported(filled, first, last), key_of(filled)).last == last


def test_lines_are_json_that_other_tools_read(filled: Path) -> None:
    lines = [json.loads(line) for line in exported(filled, 5, 9)]
    assert [line["seq"] for line in lines[1:]] == [5, 6, 7, 8, 9]
    assert lines[1]["body"][3:8] == ["call5", "alice", "tools/call", "git", "ünïcode ☃"]


def test_every_changed_byte_of_an_export_is_found(small: tuple[list[bytes], Key]) -> None:
    lines, key = small
    whole = b"".join(lines)
    found = verifier.verify_export(lines, key)
    assert (found.last, found.pruned, found.losses) == (8, 1, ())
    for at in range(len(whole)):
        for change in (1, 0x20):
            changed = bytearray(whole)
            changed[at] ^= change
            with pytest.raises(Refused):
                verifier.verify_export(bytes(changed).splitlines(keepends=True), key)


def test_every_cut_and_every_removed_repeated_or_moved_line_is_found(small: tuple[list[bytes], Key]) -> None:
    lines, key = small
    whole = b"".join(lines)
    for end in range(len(whole)):
        with pytest.raises(Refused):
            verifier.verify_export(whole[:end].splitlines(keepends=True), key)
    for at in range(len(lines)):
        moved = [lines[at], *lines[:at], *lines[at + 1 :]] if at else [*lines[1:], lines[0]]
        for wrong in ([*lines[:at], *lines[at + 1 :]], [*lines[: at + 1], *lines[at:]], moved):
            with pytest.raises(Refused):
                verifier.verify_export(wrong, key)


def test_proofs_of_inclusion_and_consistency_verify_and_none_of_their_bytes_can_change(filled: Path) -> None:
    key = key_of(filled)
    inclusion = proven.encode(proven.inclusion(Place(filled), 300))
    consistency = proven.encode(proven.consistency(Place(filled), 299))
    assert verifier.verify_proof(inclusion, key)[1:3] == (300, 300)
    assert verifier.verify_proof(consistency, key)[1:3] == (1, 299)
    for proof in (inclusion, consistency):
        for at in range(len(proof)):
            changed = bytearray(proof)
            changed[at] ^= 1
            with pytest.raises(Refused):
                verifier.verify_proof(bytes(changed), key)


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 699, 700])
def test_consistency_with_every_earlier_size_is_proved(filled: Path, size: int) -> None:
    proof = proven.encode(proven.consistency(Place(filled), size))
    assert verifier.verify_proof(proof, key_of(filled)).last == size


def test_an_export_is_held_against_a_checkpoint_kept_elsewhere(path: Path, tmp_path: Path) -> None:
    fill(path, 20)
    early = verifier.read_checkpoint(Place(path).checkpoint.read_text())
    older = {file: file.read_bytes() for file in path.parent.glob("ledger.*") if "spool" not in file.name}
    record_once(path, entry(21))
    lines = exported(path)
    late = verifier.read_checkpoint(Place(path).checkpoint.read_text())
    assert verifier.verify_export(lines, key_of(path), early).last == 21
    for file in older:
        file.unlink()
    for file, content in older.items():
        file.write_bytes(content)
    with pytest.raises(Refused, match="cut"):
        verifier.verify_export(exported(path), key_of(path), late)
    record_once(path, entry(99))
    lines = exported(path)
    with pytest.raises(Refused, match="rewritten"):
        verifier.verify_export(lines, key_of(path), late)
    with pytest.raises(Refused, match="another log"):
        verifier.verify_proof(proven.encode(proven.consistency(Place(path), 21)), key_of(path), late)
    kept, file = tmp_path / "kept.checkpoint", tmp_path / "all.jsonl"
    kept.write_text(Place(path).checkpoint.read_text())
    file.write_bytes(b"".join(lines))
    with open_reading(path) as store:
        public = str(public_key(Place(path), store))
    assert alone(tmp_path, file, "--key", public, "--since", kept)[0] == 0


def test_a_signature_of_somebody_else_is_not_believed(filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    fill(other, 3)
    with pytest.raises(Refused, match="not signed by"):
        verifier.verify_export(exported(filled), key_of(other))


def test_a_body_that_is_gone_without_a_record_is_told(path: Path) -> None:
    fill(path, 5)
    lines = exported(path)
    with open_reading(path) as store:
        leaf = store.leaves(4, 4).hex()
    lines[4] = b'{"seq":4,"leaf":"%s","body":null}\n' % leaf.encode()
    found = verifier.verify_export(lines, key_of(path))
    assert (found.pruned, len(found.losses)) == (1, 1)


def test_losses_on_the_record_are_told(path: Path) -> None:
    fill(path, 3)
    record_once(path, Entry(4, "change", action=GAP, outcome="found"))
    found = verifier.verify_export(exported(path), key_of(path))
    assert "damaged" in found.losses[0]


def test_what_cannot_be_proved_is_refused_with_a_reason(path: Path, filled: Path) -> None:
    Ledger(path).close()
    with pytest.raises(Conflict):
        exported(path)
    for ask in (lambda: exported(filled, 600, 900), lambda: exported(filled, 20, 10)):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(NotFound):
        proven.inclusion(Place(filled), 701)
    with pytest.raises(NotFound):
        proven.consistency(Place(filled), 701)
    with pytest.raises(Invalid, match="filtered"):
        list(proven.lines(Request(Place(filled), wanted=Filter(principal="alice"))))


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_file_is_judged_and_none_makes_it_fall_over(lines: list[bytes]) -> None:
    key = Key("name", b"1234", bytes(32))
    for judge in (lambda: verifier.verify_export(lines, key), lambda: verifier.verify_proof(b"".join(lines), key)):
        found: Found | None = None
        with pytest.raises(Refused):
            found = judge()
        assert found is None
