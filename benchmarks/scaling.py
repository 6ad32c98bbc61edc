"""One worker and two, in turns, under the same load; ends by itself after about two minutes.

    python benchmarks/scaling.py [--rounds 3] [--seconds 3] [--connections 32]

Load generator, server and gateway share the machine's cores, so on two of them two workers cannot double anything: what
they can use is what the others leave. So the cores that each part used are told beside the rate.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import loads
import processes
from processes import Contestant

WORKERS = (1, 2)
LEGACY = "2025-11-25"


@dataclass
class Run:
    """Cores: processor seconds per second. `others`: load generator and HTTP server; `rest`: the machine's."""

    calls_per_s: float
    ours: float
    others: float
    rest: float
    refused: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", default="", help="a part of the name of what is measured")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = processes.start_upstream(stack)
        fleets = {count: _fleet(stack, folder, upstream, count) for count in WORKERS}
        print(f"{len(processes.cores())} cores, load {Path('/proc/loadavg').read_text().split()[0]}")
        for name, kind in ((name, kind) for name, kind in KINDS.items() if chosen.only in name):
            runs: dict[int, list[Run]] = {count: [] for count in WORKERS}
            for _ in range(chosen.rounds):
                for count, fleet in fleets.items():
                    target, request = kind(fleet)
                    runs[count].append(_run(target, request, upstream, chosen.connections, chosen.seconds, folder))
            _show(name, runs)


def _fleet(stack: ExitStack, folder: Path, upstream: Contestant, workers: int) -> Contestant:
    servers = {
        "http": f'{{url: "{upstream.url}"}}',
        "pipe": f'{{command: ["{sys.executable}", "{processes.HERE / "upstream.py"}", "--stdio"]}}',
    }
    return processes.start_garrison(stack, folder / f"workers{workers}", servers, workers)[0]


def _to(server: str, fleet: Contestant) -> tuple[Contestant, bytes]:
    target = processes.at(fleet, "garrison", f"/servers/{server}/mcp")
    return target, loads.request_of(target)


def _lists(fleet: Contestant) -> tuple[Contestant, bytes]:
    target = processes.at(fleet, "garrison", "/mcp")
    return target, loads.modern_request(target, "tools/list", {})


def _legacy(fleet: Contestant) -> tuple[Contestant, bytes]:
    """One session on all connections: what arrives at the other worker is passed on to the session's own."""
    target = processes.at(fleet, "garrison", "/servers/http/mcp")
    headers = {
        "authorization": f"Bearer {fleet.key}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    hello = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).encode()
    with urlopen(Request(target.url, hello, headers)) as answer:
        headers |= {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": LEGACY}
    called = {"name": "echo", "arguments": {"text": "hello"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": called}).encode()
    sent = {"host": "127.0.0.1", **headers, "content-length": str(len(body))}
    lines = "".join(f"{key}: {value}\r\n" for key, value in sent.items())
    return target, f"POST /servers/http/mcp HTTP/1.1\r\n{lines}\r\n".encode() + body


KINDS = {
    "tools/call, HTTP server": lambda fleet: _to("http", fleet),
    "tools/call, stdio server": lambda fleet: _to("pipe", fleet),
    "tools/list, no server": _lists,
    "tools/call, one legacy session": _legacy,
}


def _run(
    target: Contestant, request: bytes, upstream: Contestant, connections: int, seconds: float, folder: Path
) -> Run:
    began, before = time.monotonic(), _used_s(target, upstream)
    found = loads.load(target, request, connections, seconds, folder)
    took = time.monotonic() - began
    ours, others, all_of_it = (now - was for now, was in zip(_used_s(target, upstream), before, strict=True))
    return Run(found.calls_per_s, ours / took, others / took, (all_of_it - ours - others) / took, found.refused)


def _used_s(target: Contestant, upstream: Contestant) -> tuple[float, float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    generator_s = children.ru_utime + children.ru_stime
    return target.cpu_us() / 1e6, upstream.cpu_us() / 1e6 + generator_s, _machine_s()


def _machine_s() -> float:
    """Processor seconds of everything on this machine: user, nice, system, interrupts (proc(5), `stat`)."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    busy = [int(one) for place, one in enumerate(fields) if place not in (3, 4)]
    return sum(busy) * processes.TICK_US / 1e6


def _show(name: str, runs: dict[int, list[Run]]) -> None:
    print(f"\n{name}   (cores: gateway, load generator with HTTP server, all else)")
    rates = {count: statistics.median(run.calls_per_s for run in own) for count, own in runs.items()}
    for count, own in runs.items():
        used = {part: statistics.median(getattr(run, part) for run in own) for part in ("ours", "others", "rest")}
        ratio, refused = rates[count] / rates[WORKERS[0]], sum(run.refused for run in own)
        per_call = 1e6 * used["ours"] / rates[count]
        print(
            f"  {count} worker(s)  {rates[count]:8.0f} calls/s  × {ratio:.2f}   {per_call:.0f} µs a call   "
            f"cores {used['ours']:.2f} {used['others']:.2f} {used['rest']:.2f}   refused {refused}"
        )


if __name__ == "__main__":
    main()
