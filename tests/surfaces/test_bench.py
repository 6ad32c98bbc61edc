"""`garrison bench`: it measures, ends what it started, and says what it cannot do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from command_line import Shell
from garrison.surfaces.bench.echo import Answering
from garrison.surfaces.bench.load import Load
from garrison.surfaces.bench.stages import PARTS
from garrison.surfaces.bench.stopwatch import Own, Stopwatch, own_cost

FLEET = """
servers:
  echo: {{command: ["{python}", "-m", "garrison.surfaces.bench.echo", "--stdio"]}}
settings:
  edge: {{listen: "127.0.0.1:0"}}
"""


def test_quantiles_are_of_all_waits() -> None:
    load = Load(calls=4, seconds=2.0, waits_us=[4.0, 1.0, 3.0, 2.0])
    assert (load.calls_per_s, load.quantile_us(0.5), load.quantile_us(0.99)) == (2.0, 3.0, 4.0)
    assert Load().quantile_us(0.5) == 0.0


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_the_echo_server_answers_both_handshakes_and_its_tools(era: str) -> None:
    answering = Answering(5, era)
    discovered = json.loads(answering.answer(b'{"id":1,"method":"server/discover"}') or b"")
    assert ("result" in discovered) == (era == "modern")
    listed = json.loads(answering.answer(b'{"id":"a","method":"tools/list"}') or b"")
    assert (listed["id"], len(listed["result"]["tools"])) == ("a", 5)
    called = b'{"id":2,"method":"tools/call","params":{"name":"large","arguments":{"size":300}}}'
    assert len(json.loads(answering.answer(called) or b"")["result"]["content"][0]["text"]) == 300
    assert answering.answer(b'{"method":"notifications/initialized"}') is None


def test_a_part_is_what_its_functions_take_without_the_other_parts_that_they_call() -> None:
    watch = Stopwatch()

    def work(times: int) -> int:
        return sum(number * number for number in range(times))

    inner = watch.wrap("inner", work)
    outer = watch.wrap("outer", lambda times: inner(times) + work(4000))
    watch.on = True
    for _ in range(30):
        outer(12_000)
    found = watch.found_us(30, own_cost())
    assert 1.5 < found["inner"] / found["outer"] < 6  # about 3, and the machine is noisy
    watch.restart()
    assert watch.found_us(30, Own(0, 0)) == {}


def test_a_failure_passes_through_the_stopwatch_and_is_timed() -> None:
    watch = Stopwatch()

    def fail() -> None:
        raise KeyError("lost")

    failing = watch.wrap("fail", fail)
    for on in (False, True):
        watch.on = on
        with pytest.raises(KeyError, match="lost"):
            failing()
    assert watch.parts["fail"].calls == 1


@pytest.mark.slow
def test_a_server_of_a_running_fleet_is_measured_and_an_unknown_one_is_not(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    (tmp_path / "garrison.yaml").write_text(FLEET.format(python=sys.executable))
    shell("up", "--config", "garrison.yaml", code=0)
    try:
        words = ("--seconds", "0.3", "--connections", "2", "--output", "json")
        (row,) = shell("bench", "--server", "echo", *words, code=0).json["ways"]
        assert (row["way"], row["refused"]) == ("echo", 0)
        assert row["calls_per_s"] > 0
        assert "there is no server 'nobody'" in shell("bench", "--server", "nobody", code=3).err
    finally:
        shell("down", code=0)


@pytest.mark.slow
def test_bench_measures_a_fleet_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    room = tmp_path / "tmp"
    room.mkdir()
    words = ("bench", "--seconds", "0.3", "--connections", "4", "--output", "json")
    found = Shell(tmp_path)(*words, code=0, TMPDIR=str(room)).json
    rows, parts = found["ways"], {row["part"]: row for row in found["parts"]}
    assert tuple(parts) == PARTS
    assert all(parts[name]["stages_us"] > 0 for name in ("edge", "reading", "forward", "writing", "whole"))
    assert parts["fast path"]["fast_us"] > 0
    assert "fast_us" not in parts["route"]
    assert "stages_us" not in parts["fast path"]
    assert [row["way"] for row in rows] == ["direct", "garrison, HTTP server", "garrison, stdio server"]
    assert all(row["calls_per_s"] > 0 and not row["refused"] for row in rows), rows
    assert list(room.iterdir()) == []
