"""What is measured, as processes: each listens on a loopback port of its own and ends with the run."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

HERE = Path(__file__).parent
GARRISON = Path(sys.executable).with_name("garrison")
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

FLEET = """
servers:
{servers}
roles:
  bench:
    grants:
      - {{servers: ["*"], tools: ["*"], prompts: ["*"], resources: ["*"]}}
settings:
  edge: {{listen: "127.0.0.1:0"}}
  limits: {{calls_per_s: 1000000, burst: 1000000, concurrent_calls: 20000, concurrent_calls_per_server: 20000}}
"""

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; proxy_buffering on; client_body_buffer_size 1m;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream echo {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://echo; }}
    location /stream {{ proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";
                        proxy_pass http://echo/mcp; }}
  }}
}}
"""


@dataclass
class Contestant:
    """`pids` are the processes whose time counts; `legacy` ones need a session, whose header is in `headers`."""

    name: str
    url: str
    pids: list[int]
    key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    legacy: bool = False
    prefix: str = ""
    """Of its tools' names."""
    least_s: float = 0.0
    """A slow one needs so long to give a figure at all."""

    def cpu_us(self) -> float:
        return sum(cpu_us(pid) for pid in self.pids)


def cores() -> set[int]:
    return os.sched_getaffinity(0)


def cpu_us(pid: int) -> float:
    """User and system time of all threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_US


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def peak_rss_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def start_printing_port(stack: ExitStack, *argv: str) -> tuple[int, int]:
    """Start a program that prints its port; returns (pid, port)."""
    process = subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE)
    stack.callback(end, process)
    assert process.stdout is not None
    return process.pid, int(process.stdout.readline())


def start_upstream(stack: ExitStack, tools: int = 3) -> Contestant:
    pid, port = start_printing_port(stack, str(HERE / "upstream.py"), "--http", "0", "--tools", str(tools))
    return Contestant("direct", f"http://127.0.0.1:{port}/mcp", [pid])


def start_relay(stack: ExitStack, upstream: Contestant) -> Contestant:
    pid, port = start_printing_port(stack, str(HERE / "relay.py"), upstream.url.split(":")[2].split("/")[0])
    return Contestant("byte relay", f"http://127.0.0.1:{port}/mcp", [pid])


def start_nginx(stack: ExitStack, upstream: Contestant, folder: Path, port: int) -> Contestant | None:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        return None
    folder.mkdir()
    configuration = folder / "nginx.conf"
    upstream_port = upstream.url.split(":")[2].split("/")[0]
    configuration.write_text(NGINX.format(folder=folder, upstream=upstream_port, port=port))
    process = subprocess.Popen([program, "-c", str(configuration), "-p", str(folder)], stderr=subprocess.DEVNULL)
    stack.callback(end, process)
    url = f"http://127.0.0.1:{port}/mcp"
    _wait_for(url)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return Contestant("nginx", url, [int(child) for child in children])


def start_garrison(
    stack: ExitStack, folder: Path, servers: dict[str, str], workers: int = 1
) -> tuple[Contestant, float]:
    """A fleet in a home of its own; returns it (its URL without a path) and the seconds until it was ready."""
    folder.mkdir()
    lines = "\n".join(f"  {name}: {entry}" for name, entry in servers.items())
    configuration, home = folder / "garrison.yaml", folder / "home"
    configuration.write_text(FLEET.format(servers=lines))
    started = time.perf_counter()
    stack.callback(_garrison, "down", "--home", str(home))
    status = json.loads(
        _garrison("up", "--home", str(home), "--config", str(configuration), "--workers", str(workers), "-o", "json")
    )
    seconds = time.perf_counter() - started
    note = json.loads((home / "run" / "node.json").read_text())
    _garrison("keys", "create", "bench", "--role", "bench", "--home", str(home), "--to", str(folder / "key"))
    pids = [note["pid"], *(row["pid"] for row in status.get("workers", ()))]
    return Contestant("garrison", note["url"], pids, (folder / "key").read_text().strip()), seconds


def listening_after_s(folder: Path) -> float:
    """Of the fleet in this folder: from the exec of its node to the open listener, as its log says."""
    log = (folder / "home" / "logs" / "garrison.log").read_text().splitlines()
    return next(float(line["start_s"]) for line in map(json.loads, log) if line["message"] == "serving")


def at(fleet: Contestant, name: str, path: str) -> Contestant:
    """One endpoint of a fleet."""
    return Contestant(name, fleet.url + path, fleet.pids, fleet.key)


def _garrison(*words: str) -> str:
    done = subprocess.run([GARRISON, *words], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"garrison {words[0]} failed: {done.stderr}")
    return done.stdout


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_until_quiet(contestant: Contestant, seconds: float = 60.0) -> None:
    """A slow one still works on what it was sent when the load is over; that must not be the next one's loss."""
    deadline, before = time.monotonic() + seconds, contestant.cpu_us()
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = contestant.cpu_us()
        if now - before < 50_000:
            return
        before = now


def _wait_for(url: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urlopen(Request(url, data=b"{}", method="POST"), timeout=1).close()
        except URLError as error:
            if getattr(error, "code", 0):
                return
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(url)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
