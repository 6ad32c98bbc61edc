"""The budget of a call, part by part: what each stage and each end of the gateway costs the processor.

A process of its own (`calibration`) times its parts while this one calls it: first with every call going through all
stages, then with calls that may take the fast path, as most do.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from garrison.gateway.pipeline import ORDER
from garrison.kernel.errors import Unavailable
from garrison.surfaces.bench.budget import ECHO, Way, request_to
from garrison.surfaces.bench.load import run_load

ROUNDS = 3
WARM_UP_CALLS = 300
REST = "rest"
"""The event loop, reading from sockets, other threads, and what is timed nowhere."""


@dataclass(frozen=True)
class Budget:
    """Microseconds of processor time per call, each a median of some rounds."""

    whole_us: float
    parts_us: dict[str, float]

    @property
    def rest_us(self) -> float:
        return max(self.whole_us - sum(self.parts_us.values()), 0.0)


def measure_parts(folder: Path, connections: int, seconds: float) -> dict[str, Budget]:
    """By the way that calls take: `stages` and `fast`. `seconds`: of each of the twelve runs."""
    with _upstream() as upstream, _calibration(folder, upstream) as node:
        return {way: _budget(node, way, connections, seconds) for way in ("stages", "fast")}


def rows(budgets: dict[str, Budget]) -> list[dict[str, Any]]:
    """A row for each part, in the order in which a call meets them; `…_pct` of the whole."""
    return [{"part": name, **_cells(name, budgets)} for name in PARTS]


def _cells(name: str, budgets: dict[str, Budget]) -> dict[str, float]:
    found: dict[str, float] = {}
    for way, budget in budgets.items():
        own = {REST: budget.rest_us, "whole": budget.whole_us}.get(name, budget.parts_us.get(name, 0.0))
        # Now and then a call takes the other way; that is no part of this one.
        if own >= budget.whole_us * (0.005 if way == "fast" else 0.0001):
            found |= {f"{way}_us": round(own, 1), f"{way}_pct": round(100 * own / budget.whole_us, 1)}
    return found


PARTS = ("edge", "reading", "fast path", *ORDER, "server's answer", "answer", "writing", REST, "whole")


class _Node:
    """The process that is called and asked."""

    def __init__(self, told: IO[str], says: IO[str]) -> None:
        self._told = told
        self._says = says
        where = self._answer()
        self.way = Way("calibration", where["url"], 0, where["key"])

    def do(self, words: str) -> dict[str, Any]:
        self._told.write(words + "\n")
        self._told.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._says.readline()
        if not line:
            raise Unavailable("bench.calibration", "the gateway that times itself has ended", "see what it said above")
        found: dict[str, Any] = json.loads(line)
        return found


def _budget(node: _Node, way: str, connections: int, seconds: float) -> Budget:
    node.do(way)
    node.do("plain")
    _load(node, connections, 60.0, WARM_UP_CALLS)
    plain, timed = [], []
    for _ in range(ROUNDS):
        node.do("plain")
        plain.append(_measured(node, connections, seconds)["whole"])
        node.do("time")
        timed.append(_measured(node, connections, seconds)["parts"])
    order = timed[0]
    parts = {name: statistics.median(one.get(name, 0.0) for one in timed) for name in order}
    return Budget(statistics.median(plain), parts)


def _measured(node: _Node, connections: int, seconds: float) -> dict[str, Any]:
    node.do("begin")
    return node.do(f"end {_load(node, connections, seconds)}")


def _load(node: _Node, connections: int, seconds: float, calls_max: int = 1_000_000) -> int:
    """The number of calls. Raises `Unavailable` where one was refused."""
    load = asyncio.run(run_load(node.way.url, request_to(node.way), connections, seconds, calls_max))
    if load.refused or not load.calls:
        answer = load.first_answer[-300:].decode("utf-8", "replace")
        raise Unavailable("bench.refused", f"calls were refused: {answer}", "run it again; if it stays, report it")
    return load.calls


@contextmanager
def _upstream() -> Iterator[str]:
    with subprocess.Popen([*ECHO, "--http", "0"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
        finally:
            process.terminate()


@contextmanager
def _calibration(folder: Path, upstream: str) -> Iterator[_Node]:
    argv = [sys.executable, "-P", "-m", "garrison.surfaces.bench.calibration", str(folder / "calibration"), upstream]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _Node(process.stdin, process.stdout)
            process.stdin.close()
            process.wait(20)
        finally:
            process.kill()
