"""Whose process a server's is, as garrison.yaml says it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from garrison.catalog import render
from garrison.catalog.load import Loaded

Load = Callable[[str, str], Loaded]
KEYS = ("session: shared", "sessions_max: 3", "session_idle_s: 2.5", "warm: 2")


def written(*lines: str, run: str = "command: [python, -m, x]") -> str:
    return "\n    ".join(["servers:\n  one:", run, *lines]) + "\n"


def test_isolation_is_the_default(load_text: Load) -> None:
    spec = load_text("garrison.yaml", written()).snapshot.servers["one"]
    assert (spec.session, spec.sessions_max, spec.session_idle_s, spec.warm) == ("isolated", 32, 600.0, 0)


def test_what_is_said_is_read_and_written_again(load_text: Load) -> None:
    loaded = load_text("garrison.yaml", written(*KEYS))
    spec = loaded.snapshot.servers["one"]
    assert (spec.session, spec.sessions_max, spec.session_idle_s, spec.warm) == ("shared", 3, 2.5, 2)
    lines = [line.strip() for line in render.server(spec, "", ())]
    assert set(KEYS) <= set(lines)


@pytest.mark.parametrize("line", ["session: alone", "sessions_max: 0", "session_idle_s: 0", "warm: -1", "warm: 65"])
def test_what_makes_no_sense_is_an_error_at_its_place(load_text: Load, line: str) -> None:
    errors = [problem for problem in load_text("garrison.yaml", written(line)).problems if problem.severity == "error"]
    assert [problem.line for problem in errors] == [4]


def test_a_server_elsewhere_has_no_processes_to_give(load_text: Load) -> None:
    loaded = load_text("garrison.yaml", written(*KEYS, run="url: http://127.0.0.1:1/mcp"))
    assert sum(problem.code == "config.idle_key" for problem in loaded.problems) == len(KEYS)
