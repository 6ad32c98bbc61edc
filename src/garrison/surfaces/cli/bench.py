"""`garrison bench`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from garrison.kernel.errors import NotFound
from garrison.surfaces.bench.budget import Cost, Way, measure, throw_away_fleet, wait_until_answered
from garrison.surfaces.bench.stages import measure_parts, rows
from garrison.surfaces.cli.node_client import client_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, show, tell

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_PART_COLUMNS = ("part", "stages_us", "stages_pct", "fast_us", "fast_pct")
_COLUMNS = ("way", "calls_per_s", "cpu_us", "p50_us", "p99_us", "added_p50_us", "added_p99_us", "refused")


@app.command("bench")
def bench(
    server: Annotated[
        str, typer.Option("--server", metavar="NAME", help="Measure this server of the running fleet instead.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=0.2, max=60, help="For each measurement.")] = 2.0,
    connections: Annotated[int, typer.Option(min=1, max=256, help="At once, for throughput and processor time.")] = 16,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Measure what a call costs through the gateway: processor time, and waits against the direct way.

    Without --server, a fleet of its own is started in a temporary folder, with everything on (key, grants, limits,
    validation, ledger, metrics), and ended again; then each part of a call's way through the gateway is timed, for
    calls that go through all stages and for those on the fast path, which most calls take. With --server, the running
    fleet is asked for that server's tool list. Waits (p50, p99) are taken at one connection. Other work on the machine
    is in the numbers: run it more than once.

    Examples: garrison bench; garrison bench --seconds 5 --output json; garrison bench --server time
    """
    if server:
        costs, parts = [_of_running(server, home, env_name, connections, seconds)], []
    else:
        with tempfile.TemporaryDirectory(prefix="garrison-bench-") as folder:
            costs = _of_own_fleet(Path(folder), connections, seconds)
            tell(f"measuring the parts of a call for about {12 * seconds:.0f} s")
            parts = rows(measure_parts(Path(folder), connections, seconds))
    _show([_row(cost, costs[0]) for cost in costs], parts, output)


def _show(ways: list[dict[str, Any]], parts: list[dict[str, Any]], output: Form) -> None:
    if output is not Form.TABLE:
        show({"ways": ways, "parts": parts}, output)
        return
    show(ways, output, _COLUMNS)
    if parts:
        show(parts, output, _PART_COLUMNS)


def _of_own_fleet(folder: Path, connections: int, seconds: float) -> list[Cost]:
    with throw_away_fleet(folder) as ways:
        tell(f"measuring {len(ways)} ways for about {len(ways) * 2 * seconds:.0f} s")
        for way in ways:
            wait_until_answered(way)
        return [measure(way, connections, seconds) for way in ways]


def _of_running(server: str, home: Path | None, env_name: str, connections: int, seconds: float) -> Cost:
    node = client_of(home_of(home, env_name))
    if server not in {row["name"] for row in node.status()["servers"]}:
        raise NotFound("server.unknown", f"there is no server {server!r}", "`garrison server list` shows the servers")
    way = Way(server, f"{node.note.url}/servers/{server}/mcp", node.note.pid, node.key, tool="")
    wait_until_answered(way)
    return measure(way, connections, seconds)


def _row(cost: Cost, first: Cost) -> dict[str, Any]:
    row: dict[str, Any] = {
        "way": cost.way,
        "calls_per_s": round(cost.calls_per_s),
        "cpu_us": round(cost.cpu_us, 1),
        "p50_us": round(cost.p50_us),
        "p99_us": round(cost.p99_us),
        "refused": cost.refused,
    }
    if cost is not first:
        row["added_p50_us"] = round(cost.p50_us - first.p50_us)
        row["added_p99_us"] = round(cost.p99_us - first.p99_us)
    return row | ({"answer": cost.answer} if cost.answer else {})
