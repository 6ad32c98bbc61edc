"""Load on a contestant: wrk where it is installed, else the project's own generator; always the same request."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from processes import Contestant

from garrison.surfaces.bench.load import run_load

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
WRK = shutil.which("wrk")
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
    """A modern `tools/call`, head and body."""
    asked = {"name": tool, "arguments": arguments or {"text": "hello"}}
    return modern_request(contestant, "tools/call", asked, tool)


def modern_request(contestant: Contestant, method: str, asked: dict[str, object], name: str = "") -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**asked, "_meta": META}}
    body = json.dumps(message, separators=(",", ":")).encode()
    headers = {
        "host": urlsplit(contestant.url).netloc,
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
        **({"mcp-name": name} if name else {}),
        **({"authorization": f"Bearer {contestant.key}"} if contestant.key else {}),
        **contestant.headers,
        "content-length": str(len(body)),
    }
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    return f"POST {urlsplit(contestant.url).path} HTTP/1.1\r\n{lines}\r\n".encode() + body


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
    """wrk sends the very bytes: its script gives the raw request."""
    (folder / "request").write_bytes(request)
    script = folder / "request.lua"
    script.write_text(
        f'local file = io.open("{folder}/request", "rb")\nlocal bytes = file:read("*a")\nfile:close()\n'
        "request = function() return bytes end\n"
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
