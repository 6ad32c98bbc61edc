"""The overhead budget: what a call costs through the gateway, against the same call directly.

Measured with a throw-away fleet in a home of its own, or on a server of a running fleet, there only with `tools/list`,
which changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import Unavailable
from garrison.kernel.home import Home
from garrison.protocol import methods
from garrison.protocol.versions import LATEST_MODERN
from garrison.surfaces.bench.load import run_load
from garrison.surfaces.desired import Catalog, Desired, write_desired
from garrison.surfaces.halt import halt
from garrison.surfaces.launch import open_listener, start_in_background
from garrison.surfaces.setting_groups.calls import LimitSettings
from garrison.surfaces.setting_groups.edge import EdgeSettings
from garrison.surfaces.settings import Settings

ECHO = (sys.executable, "-P", "-m", "garrison.surfaces.bench.echo")
WARM_UP_CALLS = 200
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Way:
    """One way for a call. `pid`: the process whose time is measured; `tool`: empty for `tools/list`."""

    name: str
    url: str
    pid: int
    key: str = ""
    tool: str = "echo"


@dataclass(frozen=True)
class Cost:
    """Microseconds, medians of the waits at one connection, and what the process used at several."""

    way: str
    calls_per_s: float
    cpu_us: float
    p50_us: float
    p99_us: float
    refused: int
    answer: str = ""


def measure(way: Way, connections: int, seconds: float) -> Cost:
    """Load the way: first to warm it up, then with one connection, then with several."""
    request = request_to(way)
    asyncio.run(run_load(way.url, request, 1, seconds, WARM_UP_CALLS))
    one = asyncio.run(run_load(way.url, request, 1, seconds))
    before = cpu_us(way.pid)
    many = asyncio.run(run_load(way.url, request, connections, seconds))
    used = (cpu_us(way.pid) - before) / max(many.calls, 1)
    answer = many.first_answer.partition(b"\r\n\r\n")[2][:200].decode("utf-8", "replace") if many.refused else ""
    waits = (one.quantile_us(0.5), one.quantile_us(0.99))
    return Cost(way.name, many.calls_per_s, used, *waits, one.refused + many.refused, answer)


@contextmanager
def throw_away_fleet(folder: Path) -> Iterator[list[Way]]:
    """A fleet of two echo servers, over HTTP and behind pipes, with everything on; and the direct way to the first."""
    upstream = subprocess.Popen([*ECHO, "--http", "0"], stdout=subprocess.PIPE)
    home = Home(folder / "home")
    try:
        assert upstream.stdout is not None
        url = f"http://127.0.0.1:{int(upstream.stdout.readline())}/mcp"
        gateway, pid = _started(home, url)
        key = home.admin_key.read_text()
        yield [
            Way("direct", url, upstream.pid),
            Way("garrison, HTTP server", f"{gateway}/servers/http/mcp", pid, key),
            Way("garrison, stdio server", f"{gateway}/servers/pipe/mcp", pid, key),
        ]
    finally:
        halt(home, drain_s=0)
        upstream.terminate()
        upstream.communicate()


def _started(home: Home, upstream: str) -> tuple[str, int]:
    """The gateway's URL and its process."""
    servers = {
        "http": ServerSpec(name="http", transport="http", url=upstream),
        "pipe": ServerSpec(name="pipe", transport="stdio", command=(*ECHO, "--stdio")),
    }
    settings = Settings(
        edge=EdgeSettings(listen="127.0.0.1:0"), limits=LimitSettings(calls_per_s=1_000_000, burst=1_000_000)
    )
    home.create()
    with open_listener(settings.edge.listen) as listener:
        desired = Desired(catalog=Catalog(servers=servers), settings=settings, listen_fd=listener.fileno())
        write_desired(home, desired)
        note = start_in_background(home, listener)
    return note.url, note.pid


def wait_until_answered(way: Way, timeout_s: float = 20.0) -> None:
    """Servers start after the gateway listens. Raises `Unavailable`."""
    deadline, request = time.monotonic() + timeout_s, request_to(way)
    while True:
        load = asyncio.run(run_load(way.url, request, 1, 5, 1))
        if load.calls and not load.refused and b'"error"' not in load.first_answer:
            return
        if time.monotonic() > deadline:
            answer = load.first_answer[-300:].decode("utf-8", "replace")
            raise Unavailable("bench.no_answer", f"{way.name} does not answer: {answer}", "see `garrison status`")
        time.sleep(0.1)


def cpu_us(pid: int) -> float:
    """Microseconds of processor time, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_US


def request_to(way: Way) -> bytes:
    method = methods.TOOLS_CALL if way.tool else methods.TOOLS_LIST
    asked = {"name": way.tool, "arguments": {"text": "hello"}} if way.tool else {}
    meta = {methods.META_VERSION: LATEST_MODERN, methods.META_CAPABILITIES: {}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**asked, "_meta": meta}}).encode()
    parts = urlsplit(way.url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"host: {parts.netloc}",
        "content-type: application/json",
        "accept: application/json, text/event-stream",
        f"mcp-protocol-version: {LATEST_MODERN}",
        f"mcp-method: {method}",
    ]
    lines += [f"mcp-name: {way.tool}"] if way.tool else []
    lines += [f"authorization: Bearer {way.key}"] if way.key else []
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
