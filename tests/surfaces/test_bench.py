"""`garrison bench`: it measures, ends what it started, and says what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Shell
from garrison.surfaces.bench.echo import Answering
from garrison.surfaces.bench.load import Load


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


@pytest.mark.slow
def test_bench_measures_a_fleet_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    room = tmp_path / "tmp"
    room.mkdir()
    words = ("bench", "--seconds", "0.3", "--connections", "4", "--output", "json")
    rows = Shell(tmp_path)(*words, code=0, TMPDIR=str(room)).json
    assert [row["way"] for row in rows] == ["direct", "garrison, HTTP server", "garrison, stdio server"]
    assert all(row["calls_per_s"] > 0 and not row["refused"] for row in rows), rows
    assert list(room.iterdir()) == []
