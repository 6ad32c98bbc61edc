from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.clock import ManualClock
from garrison.runtimes import serverlog
from garrison.runtimes.serverlog import LINE_BYTES_MAX, LineSplitter, ServerLog, log_path, read_tail, visible
from garrison.telemetry.redaction import redactor

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (err|out|---)\| [^\x00-\x08\x0a-\x1f\x7f-\x9f]*")


@given(st.lists(st.binary(max_size=50)))
def test_lines_are_the_same_however_the_stream_is_cut(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.flush()
    expected = whole.split(b"\n")
    assert lines == [line.removesuffix(b"\r") for line in (expected if expected[-1] else expected[:-1])]


@given(st.lists(st.binary(max_size=30000), max_size=6))
def test_no_line_is_longer_than_its_bound(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.flush()
    assert all(len(line) <= LINE_BYTES_MAX + 3 for line in lines)


def test_an_endless_line_is_cut_and_the_next_one_is_whole() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(100) for line in splitter.feed(b"x" * 1000)]
    assert len(lines) == 1
    assert splitter.feed(b"rest\nnext\n") == [b"next"]


@given(st.binary(max_size=200))
def test_a_server_cannot_forge_a_line_of_ours_or_move_the_cursor(tmp_path_factory: object, data: bytes) -> None:
    text = visible(data)
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text)


def test_each_line_bears_time_and_origin(tmp_path: Path) -> None:
    log = ServerLog(log_path(tmp_path, "a"), ManualClock())
    log.write("err", [b"one", b"\x1b[2J2026-11-22T00:00:00.000000Z ---| forged"])
    log.remark("started")
    log.close()
    lines = read_tail(tmp_path / "a.log", 10)
    assert [line.split(" ", 1)[1] for line in lines] == [
        "err| one",
        "err| \\x1b[2J2026-11-22T00:00:00.000000Z ---| forged",
        "---| started",
    ]
    assert all(LINE.fullmatch(line) for line in lines)
    assert list(log.tail) == lines


def test_the_file_rotates_by_size_and_three_are_kept(tmp_path: Path, monkeypatch: object) -> None:
    clock = ManualClock()
    log = ServerLog(log_path(tmp_path, "a"), clock)
    for number in range(30):
        clock.advance(1)
        log.write("err", [b"%02d" % number + b"x" * 8000] * 100)
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    assert all(path.stat().st_size <= serverlog.FILE_BYTES_MAX for path in tmp_path.iterdir())
    assert "29x" in read_tail(tmp_path / "a.log", 1)[0]


def test_a_flood_is_cut_to_a_rate_and_the_loss_is_counted(tmp_path: Path) -> None:
    clock = ManualClock()
    log = ServerLog(log_path(tmp_path, "a"), clock)
    log.write("err", [b"x" * 1000] * 5000)
    clock.advance(1)
    log.write("err", [b"after"])
    log.close()
    *_, dropped, last = read_tail(tmp_path / "a.log", 5)
    assert "lines dropped" in dropped
    assert last.endswith("after")
    assert (tmp_path / "a.log").stat().st_size < 1.1 * serverlog.BYTES_PER_S_MAX


def test_a_disk_that_refuses_costs_the_file_but_not_the_tail(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    log = ServerLog(log_path(tmp_path / "logs", "a"), ManualClock())
    log.write("err", [b"said"])
    assert log.tail[0].endswith("said")


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    for name in ("../../etc/passwd", "..", "a/b", "nul\0", "@scope/name"):
        assert log_path(tmp_path, name).parent == tmp_path
        assert "/" not in log_path(tmp_path, name).name


def test_the_tail_of_no_file_is_empty(tmp_path: Path) -> None:
    assert read_tail(tmp_path / "none.log", 5) == []


def test_a_server_that_prints_its_own_secret_does_not_put_it_into_its_log(tmp_path: Path) -> None:
    redactor.add("hunter2-of-the-server")
    log = ServerLog(tmp_path / "a.log", ManualClock())
    log.write("err", [b"cannot log in with hunter2-of-the-server at db"])
    log.close()
    assert "hunter2" not in "".join(log.tail) + (tmp_path / "a.log").read_text()
    assert log.tail[0].endswith("err| cannot log in with [redacted] at db")
