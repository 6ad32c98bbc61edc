"""One interleaved run of everything side by side; ends by itself after a few minutes.

    python benchmarks/run.py [--rounds 3] [--seconds 2] [--only calls,…] [--json FILE] [--peers FOLDER]

Direct, a byte relay, nginx and Garrison get the same bytes from the same load generator, in turns, several rounds; what
counts is the median, and of that the ratio to nginx in this very run. With `--peers`, other gateways take part: they
are installed from PyPI into that folder, which is a cache; nothing else of the machine changes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import idle
import legacy
import loads
import peers
import processes
from processes import Contestant

Found = dict[str, Any]
LISTED_SERVERS, LISTED_TOOLS = 50, 40
IDLE_S = 20.0
"""More than the time between two signs of life of a stream."""


@dataclass
class Bench:
    """What is measured, and how long."""

    folder: Path
    rounds: int
    seconds: float
    direct: Contestant
    proxies: list[Contestant]
    fleet: Contestant
    peers: Path | None

    @property
    def garrison(self) -> Contestant:
        return processes.at(self.fleet, "garrison", "/servers/http/mcp")

    @property
    def stdio(self) -> Contestant:
        return processes.at(self.fleet, "garrison stdio", "/servers/pipe/mcp")

    def side_by_side(self) -> list[Contestant]:
        return [self.direct, *self.proxies, self.garrison]


def interleaved(bench: Bench, who: list[Contestant], connections: int, tool: str, arguments: Found | None) -> Found:
    """Each in turn, several rounds; medians, and ratios to nginx."""
    runs: dict[str, list[loads.Run]] = {one.name: [] for one in who}
    for _ in range(bench.rounds):
        for one in who:
            request = loads.request_of(one, tool, arguments)
            seconds = max(bench.seconds, one.least_s)
            runs[one.name].append(loads.load(one, request, connections, seconds, bench.folder))
            if one.least_s:
                processes.wait_until_quiet(one)
    found = {name: _median(own) for name, own in runs.items()}
    reference = found.get("nginx") or found["direct"]
    for own in found.values():
        own["cpu_ratio"] = round(own["cpu_us"] / reference["cpu_us"], 2)
        own["rate_ratio"] = round(own["calls_per_s"] / reference["calls_per_s"], 2)
    return found


def _median(runs: list[loads.Run]) -> Found:
    middle = {
        key: statistics.median(getattr(run, key) for run in runs)
        for key in ("calls_per_s", "cpu_us", "p50_us", "p99_us")
    }
    spread = [round(run.cpu_us, 1) for run in runs]
    return {
        **{key: round(value, 1) for key, value in middle.items()},
        "cpu_us_of_rounds": spread,
        "refused": sum(run.refused for run in runs),
    }


def calls(bench: Bench) -> Found:
    """`tools/call`, about 100 bytes, at 16 and 64 connections; pipes too."""
    who = [*bench.side_by_side(), bench.stdio]
    return {f"{count} connections": interleaved(bench, who, count, "echo", None) for count in (16, 64)}


def beside_peers(bench: Bench) -> Found:
    """Other gateways in the same turns, each in a legacy session; and how many times their calls/s Garrison does."""
    if bench.peers is None:
        return {"not measured": "give --peers FOLDER, where they can be installed"}
    with ExitStack() as stack:
        others, missing = peers.started(stack, bench.peers, bench.folder / "peers", bench.direct)
        session = processes.at(bench.fleet, "garrison, legacy session", "/servers/http/mcp")
        session.headers, session.legacy = legacy.open_session(session.url, session.key), True
        who = [*bench.side_by_side(), bench.stdio, session, *others]
        found: Found = {f"{count} connections": interleaved(bench, who, count, "echo", None) for count in (16, 64)}
    for own in found.values():
        for other in others:
            own[other.name]["garrison_times_its_rate"] = _times(own["garrison"], own[other.name])
            own[other.name]["garrison_legacy_times"] = _times(own[session.name], own[other.name])
    return found | {f"missing: {name}": why for name, why in missing.items()}


def _times(ours: Found, theirs: Found) -> float | None:
    """None where the other did not answer once."""
    return round(ours["calls_per_s"] / theirs["calls_per_s"], 1) if theirs["calls_per_s"] else None


def latency(bench: Bench) -> Found:
    """One connection; what is added to the direct way."""
    found = interleaved(bench, bench.side_by_side(), 1, "echo", None)
    for own in found.values():
        own["added_p50_us"] = round(own["p50_us"] - found["direct"]["p50_us"], 1)
        own["added_p99_us"] = round(own["p99_us"] - found["direct"]["p99_us"], 1)
    return found


def sizes(bench: Bench) -> Found:
    """Larger results; the gateway's memory must not grow with them."""
    found: Found = {}
    for name, size, connections in (("10 KB", 10_000, 16), ("1 MB", 1_000_000, 4)):
        before = processes.rss_bytes(bench.fleet.pids[0])
        found[name] = interleaved(bench, bench.side_by_side(), connections, "large", {"size": size})
        found[name]["garrison"]["rss_grown_mb"] = round((processes.rss_bytes(bench.fleet.pids[0]) - before) / 1e6, 1)
    found["garrison peak rss mb"] = round(processes.peak_rss_bytes(bench.fleet.pids[0]) / 1e6, 1)
    return found


def streams(bench: Bench) -> Found:
    """The first event of an event stream, in microseconds."""
    found: Found = {}
    for one in bench.side_by_side():
        waits = asyncio.run(idle.first_event_us(one.url, loads.request_of(one, "stream", {"size": 5}), 200))
        found[one.name] = {"p50_us": round(statistics.median(waits), 1)}
    for own in found.values():
        own["added_p50_us"] = round(own["p50_us"] - found["direct"]["p50_us"], 1)
    return found


def lists(bench: Bench) -> Found:
    """The aggregate's list of many servers, warm: both pages (1,000 entries each)."""
    with ExitStack() as stack:
        upstream = processes.start_upstream(stack, LISTED_TOOLS)
        servers = {f"s{number}": f'{{url: "{upstream.url}"}}' for number in range(LISTED_SERVERS)}
        fleet, ready_s = processes.start_garrison(stack, bench.folder / "many", servers)
        one = processes.at(fleet, "aggregate", "/mcp")
        first = loads.modern_request(one, "tools/list", {})
        cursor = loads.answer(one, first)["result"]["nextCursor"]
        pages = [first, loads.modern_request(one, "tools/list", {"cursor": cursor})]
        warm = [loads.load(one, page, 1, bench.seconds, bench.folder) for page in pages]
        runs = [loads.load(one, page, 1, bench.seconds, bench.folder) for page in pages]
    return {
        "p50_ms of each page": [round(run.p50_us / 1000, 2) for run in runs],
        "p50_ms": round(sum(run.p50_us for run in runs) / 1000, 2),
        "cpu_ms": round(sum(run.cpu_us for run in runs) / 1000, 2),
        "ready_s": round(ready_s, 2),
        "refused": sum(run.refused for run in warm + runs),
    }


def starting(bench: Bench) -> Found:
    """From the node's exec to its open listener, `garrison up` until every server answers, an idle gateway's memory."""
    seconds, listening = [], []
    for number in range(bench.rounds):
        with ExitStack() as stack:
            fleet, ready_s = processes.start_garrison(
                stack, bench.folder / f"start{number}", {"http": f'{{url: "{bench.direct.url}"}}'}
            )
            seconds.append(ready_s)
            listening.append(processes.listening_after_s(bench.folder / f"start{number}"))
            rss = processes.rss_bytes(fleet.pids[0])
    return {
        "exec_to_listening_s": round(statistics.median(listening), 2),
        "up_to_ready_s": round(statistics.median(seconds), 2),
        "idle_rss_mb": round(rss / 1e6, 1),
    }


def idling(bench: Bench) -> Found:
    """Open subscriptions on which nothing happens: bytes each, and the share of a core that they take."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 600
    count, pid = min(10_000, most), bench.fleet.pids[0]
    request = loads.modern_request(
        bench.garrison, "subscriptions/listen", {"notifications": {"toolsListChanged": True}}
    )
    before = processes.rss_bytes(pid)
    with ExitStack() as stack:
        opened = stack.enter_context(idle.open_streams(bench.garrison.url, request, count))
        grown = processes.rss_bytes(pid) - before
        used = bench.fleet.cpu_us()
        idle.rest(IDLE_S)
        used = bench.fleet.cpu_us() - used
    return {
        "streams": opened,
        "kb_each": round(grown / max(opened, 1) / 1000, 1),
        "cpu_share": round(used / IDLE_S / 1e6, 4),
    }


PARTS: dict[str, Callable[[Bench], Found]] = {
    "calls": calls,
    "peers": beside_peers,
    "latency": latency,
    "sizes": sizes,
    "streams": streams,
    "lists": lists,
    "starting": starting,
    "idling": idling,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="install other gateways there, and measure them")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        bench = _prepared(stack, chosen)
        found: Found = {"machine": _machine()}
        for name in chosen.only.split(","):
            found[name] = PARTS[name](bench)
            print(f"\n{name}: {(PARTS[name].__doc__ or '').strip()}")
            show(found[name])
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


def _prepared(stack: ExitStack, chosen: argparse.Namespace) -> Bench:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    direct = processes.start_upstream(stack)
    proxies = [processes.start_relay(stack, direct)]
    nginx = processes.start_nginx(stack, direct, folder / "nginx", processes.free_port())
    proxies += [nginx] if nginx is not None else []
    upstream = str(processes.HERE / "upstream.py")
    servers = {
        "http": f'{{url: "{direct.url}"}}',
        "pipe": f'{{command: ["{sys.executable}", "{upstream}", "--stdio"]}}',
    }
    fleet, _ = processes.start_garrison(stack, folder / "fleet", servers)
    where = chosen.peers.absolute() if chosen.peers else None
    return Bench(folder, chosen.rounds, chosen.seconds, direct, proxies, fleet, where)


def _machine() -> Found:
    load = Path("/proc/loadavg").read_text().split()[0]
    return {
        "python": platform.python_version(),
        "cores": len(processes.cores()),
        "load": load,
        "wrk": loads.WRK is not None,
    }


def show(found: Found, depth: int = 1) -> None:
    """A table where rows are alike, lines where they are not."""
    for name, value in found.items():
        if isinstance(value, dict) and any(isinstance(own, dict) for own in value.values()):
            print(f"{'  ' * depth}{name}")
            show(value, depth + 1)
        elif isinstance(value, dict):
            shown = "  ".join(f"{key} {own}" for key, own in value.items() if key != "cpu_us_of_rounds")
            print(f"{'  ' * depth}{name:<26}{shown}")
        else:
            print(f"{'  ' * depth}{name} {value}")


if __name__ == "__main__":
    main()
