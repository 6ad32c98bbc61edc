"""Load on a contestant: wrk where it is installed, else the project's own generator; always the same request."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from processes import Contestant

from garrison.surfaces.bench.load import run_load

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
WRK = shutil.which("wrk")
FIRST_ID = 1_000_000
"""Requests of one session need ids of their own; wrk counts on from this one, always with as many digits."""
_SCRIPT = """
local function read(name) local file = io.open("{folder}/" .. name, "rb"); return file:read("*a") end
local before, after, id = read("before"), read("after"), {first}
request = function() id = id + 1; return {given} end
"""
_UNIT_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


@dataclass(frozen=True)
class Run:
    """Of one run: calls per second, the contestant's processor time per call, waits in microseconds."""

    calls_per_s: float
    cpu_us: float
    p50_us: float
    p99_us: float
    refused: int


def request_of(contestant: Contestant, tool: str = "echo", arguments: dict[str, object] | None = None) -> bytes:
    """A `tools/call`, head and body."""
    name = contestant.prefix + tool
    asked = {"name": name, "arguments": arguments or {"text": "hello"}}
    if contestant.legacy:
        message = {"jsonrpc": "2.0", "id": FIRST_ID, "method": "tools/call", "params": asked}
        return _raw(contestant, message, {})
    return modern_request(contestant, "tools/call", asked, name)


def modern_request(contestant: Contestant, method: str, asked: dict[str, object], name: str = "") -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**asked, "_meta": META}}
    named = {"mcp-name": name} if name else {}
    return _raw(contestant, message, {"mcp-protocol-version": "2026-07-28", "mcp-method": method, **named})


def _raw(contestant: Contestant, message: dict[str, object], own: dict[str, str]) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    headers = {
        "host": urlsplit(contestant.url).netloc,
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        **own,
        **({"authorization": f"Bearer {contestant.key}"} if contestant.key else {}),
        **contestant.headers,
        "content-length": str(len(body)),
    }
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    return f"POST {urlsplit(contestant.url).path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def answer(contestant: Contestant, request: bytes) -> dict[str, Any]:
    """The one answer to this very request."""
    parts = urlsplit(contestant.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.connect()
    connection.sock.sendall(request)
    response = http.client.HTTPResponse(connection.sock, method="POST")
    response.begin()
    found: dict[str, Any] = json.loads(response.read())
    connection.close()
    return found


def load(contestant: Contestant, request: bytes, connections: int, seconds: float, folder: Path) -> Run:
    before = contestant.cpu_us()
    if WRK is None:
        found = asyncio.run(run_load(contestant.url, request, connections, seconds))
        calls, waits = found.calls, (found.quantile_us(0.5), found.quantile_us(0.99))
        rate, refused = found.calls_per_s, found.refused
    else:
        calls, rate, waits, refused = _wrk(contestant, request, connections, seconds, folder)
    used = contestant.cpu_us() - before
    return Run(rate, used / max(calls, 1), waits[0], waits[1], refused)


def _wrk(
    contestant: Contestant, request: bytes, connections: int, seconds: float, folder: Path
) -> tuple[int, float, tuple[float, float], int]:
    """wrk sends the very bytes, in a session with another id each time: its script gives the raw request."""
    before, counted, after = request.partition(str(FIRST_ID).encode()) if contestant.legacy else (request, b"", b"")
    (folder / "before").write_bytes(before)
    (folder / "after").write_bytes(after)
    script = folder / "request.lua"
    script.write_text(
        _SCRIPT.format(folder=folder, first=FIRST_ID, given="before .. id .. after" if counted else "before")
    )
    command = [WRK, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s"]
    said = subprocess.run(
        [*map(str, command), "-s", str(script), contestant.url], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    calls = int(_found(r"(\d+) requests in", said))
    refused = int(_found(r"Non-2xx or 3xx responses: (\d+)", said) or 0)
    failed = sum(int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", said))
    return (
        calls,
        float(_found(r"Requests/sec:\s+([\d.]+)", said)),
        (_us(said, "50%"), _us(said, "99%")),
        refused + failed,
    )


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _us(text: str, quantile: str) -> float:
    found = re.search(rf"{quantile}\s+([\d.]+)(us|ms|s|m)", text)
    return float(found[1]) * _UNIT_US[found[2]] if found else 0.0
