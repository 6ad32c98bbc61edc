from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from garrison.protection.spool import Spool, take_spools


def test_what_was_put_is_recovered_in_order_after_the_process_is_gone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 4096)
    bodies = [f"entry {number}".encode() for number in range(20)]
    assert all(spool.put(body) for body in bodies)
    spool.close()
    again = Spool(tmp_path / "spool", 4096)
    assert again.recover(0) == bodies
    assert again.name == spool.name
    again.close()


def test_what_is_in_the_database_already_is_not_recovered_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 4096)
    spool.put(b"one")
    done = spool.put(b"two")
    spool.put(b"three")
    spool.close()
    again = Spool(tmp_path / "spool", 4096)
    assert again.recover(done) == [b"three"]
    again.close()


def test_a_full_spool_says_so_and_has_room_again_after_a_release(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 4096)
    ends = []
    while end := spool.put(b"x" * 100):
        ends.append(end)
    assert len(ends) == 4096 // 120
    spool.release(ends[1])
    assert spool.put(b"y" * 100)
    spool.close()


@settings(max_examples=50)
@given(steps=st.lists(st.tuples(st.integers(1, 900), st.integers(0, 5)), min_size=1, max_size=60))
def test_the_ring_goes_round_and_keeps_exactly_what_was_not_released(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("ring") / "spool"
    spool = Spool(path, 4096)
    kept: list[tuple[int, bytes]] = []
    done = 0
    for number, (size, release) in enumerate(steps):
        body = bytes([number % 256]) * size
        end = spool.put(body)
        if end:
            kept.append((end, body))
        if release and kept:
            done = kept[min(release, len(kept)) - 1][0]
            kept = kept[release:]
            spool.release(done)
    spool.close()
    again = Spool(path, 4096)
    assert again.recover(done) == [body for _, body in kept]
    end = again.end
    assert not again.put(b"after") or again.end > end
    again.close()


def test_a_half_written_frame_ends_the_recovery(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, 4096)
    spool.put(b"whole")
    spool.put(b"torn apart")
    spool.close()
    content = bytearray(path.read_bytes())
    content[content.index(b"torn")] ^= 1
    path.write_bytes(content)
    again = Spool(path, 4096)
    assert again.recover(0) == [b"whole"]
    again.close()


def test_a_living_process_keeps_its_spool_for_itself(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    [mine] = take_spools(ledger, 4096)
    [other] = take_spools(ledger, 4096)
    assert mine.name != other.name
    mine.close()
    [again] = take_spools(ledger, 4096)
    assert again.name == mine.name
    other.remove()
    again.close()
    assert len(list(tmp_path.glob("ledger.spool*"))) == 1


def test_the_file_is_private(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 4096)
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o600
    spool.close()
