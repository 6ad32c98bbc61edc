"""Real processes as servers, each a few lines of Python, and a connection just large enough to talk to them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import TimedOut, Unavailable
from garrison.kernel.ids import RandomIds
from garrison.runtimes.child import Graces
from garrison.runtimes.drivers.process import ProcessDriver, Surroundings
from garrison.runtimes.drivers.remote import RemoteDriver
from garrison.runtimes.instance import Instance, Observed, State, StdioEndpoint
from garrison.runtimes.life import Policies
from garrison.runtimes.probes import HealthPolicy
from garrison.runtimes.reaper import Reaper
from garrison.runtimes.restarts import RestartPolicy
from garrison.runtimes.supervisor import Hooks, Supervisor

PYTHON = (sys.executable, "-S", "-E", "-c")

ANSWERS = """
import sys, json
def answer(line):
    m = json.loads(line)
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": {"method": m["method"]}}), flush=True)
"""
GOOD = ANSWERS + "for line in sys.stdin: answer(line)"
GARBAGE = (
    ANSWERS
    + "print('\\x1b[31mwelcome\\x1b[0m', flush=True)\nfor line in sys.stdin: print('~~', flush=True); answer(line)"
)
EXITS_AT_ONCE = "import sys; print('cannot open the database', file=sys.stderr); sys.exit(3)"
HANGS = "import time\nwhile True: time.sleep(1)"
ONE_ANSWER_THEN_EXIT = ANSWERS + "answer(sys.stdin.readline()); sys.exit(7)"
ONE_ANSWER_THEN_SILENCE = ANSWERS + "answer(sys.stdin.readline())\nfor line in sys.stdin: pass"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + GOOD + "\nimport time\nwhile True: time.sleep(1)"
)
GRANDCHILD_LEAVES = (
    "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  os.close(0); os.close(1); os.close(2)\n"
    "  while True: time.sleep(1)\n os._exit(0)\nos.wait()\n" + GOOD
)


class SmallChannel:
    """Lines of JSON, nothing else."""

    def __init__(self, write: Callable[[bytes], None], *, on_noise: Callable[[bytes], None]) -> None:
        self.write = write
        self.on_message: Callable[[dict[str, Any]], None] = lambda message: None
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.lost: str | None = None
        self._on_noise = on_noise
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                self._on_noise(line)
            else:
                self.on_message(message)

    def connection_lost(self, reason: str) -> None:
        self.lost = reason
        self.on_lost(reason)


@dataclass
class Info:
    era: str = ""
    version: str = ""


class SmallLink:
    """Numbers requests and awaits answers; counts handshakes."""

    def __init__(self, instance: Instance) -> None:
        assert isinstance(instance.endpoint, StdioEndpoint)
        channel = instance.endpoint.channel
        assert isinstance(channel, SmallChannel)
        self.info = Info()
        self.handshakes = 0
        self.instance = instance
        self._channel = channel
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._callbacks: list[Callable[[str], None]] = []
        self._closed: str | None = channel.lost
        channel.on_message = self._message
        channel.on_lost = self._lost

    async def open(self, timeout_s: float) -> None:
        self.handshakes += 1
        await self.ask("initialize", timeout_s)
        self.info = Info("legacy", "2025-11-25")

    async def ping(self, timeout_s: float) -> None:
        await self.ask("ping", timeout_s)

    async def ask(self, method: str, timeout_s: float) -> Any:
        if self._closed is not None:
            raise Unavailable("server.gone", self._closed)
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._channel.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method}).encode() + b"\n")
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise TimedOut("server.handshake_timeout", f"no answer to {method}") from None

    async def close(self) -> None:
        self._lost("closed")

    def on_closed(self, callback: Callable[[str], None]) -> None:
        if self._closed is None:
            self._callbacks.append(callback)
        else:
            callback(self._closed)

    def _message(self, message: dict[str, Any]) -> None:
        future = self._waiting.pop(message["id"], None)
        if future is not None and not future.done():
            future.set_result(message["result"])

    def _lost(self, reason: str) -> None:
        if self._closed is not None:
            return
        self._closed = reason
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable("server.gone", reason))
        for callback in self._callbacks:
            callback(reason)


def python(name: str, program: str, **fields: Any) -> ServerSpec:
    """A server that runs the program."""
    return ServerSpec(name=name, transport="stdio", command=(*PYTHON, program), **fields)


def snapshot(*specs: ServerSpec) -> Snapshot:
    return Snapshot({spec.name: spec for spec in specs})


QUICK = Policies(
    restart=RestartPolicy(first_s=0.05, cap_s=0.4, window_s=30.0, stable_s=60.0),
    drain_s=1.0,
)
WATCHFUL = replace(QUICK, health=HealthPolicy(interval_s=0.1, timeout_s=0.3, failures_max=3))
QUICK_GRACES = Graces(stdin_s=0.3, term_s=0.3, silent_s=0.2)


@dataclass
class Fleet:
    """A supervisor over real processes, and all that it said."""

    folder: Path
    policies: Policies = QUICK
    fleet_id: str = field(default_factory=lambda: f"test{RandomIds().new()}")
    hooks: dict[str, Any] = field(default_factory=dict)
    changes: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    seen: list[tuple[str, State, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reaper = Reaper()
        surroundings = Surroundings(self.fleet_id, self.folder, dict(os.environ), graces=QUICK_GRACES)
        self.driver = ProcessDriver(surroundings, SmallChannel, self.reaper)
        self.remote = RemoteDriver()
        self.supervisor: Supervisor[SmallLink] = Supervisor(
            {"stdio": self.driver, "http": self.remote, "sse": self.remote},
            SmallLink,
            Hooks(record=lambda *change: self.changes.append(change), **self.hooks),
            self.policies,
        )
        self.supervisor.subscribe(self._saw)

    def _saw(self, name: str, observed: Observed, link: SmallLink | None) -> None:
        self.seen.append((name, observed.state, link is not None))

    async def up(self, *specs: ServerSpec) -> None:
        await self.supervisor.apply(snapshot(*specs))
        await self.supervisor.settled()

    def of(self, name: str) -> Observed:
        return self.supervisor.observed()[name]

    def states(self, name: str) -> list[State]:
        return [state for server, state, _ in self.seen if server == name]


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Poll until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {condition}"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """The same without an event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {condition}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def zombies(parent: int | None = None) -> list[int]:
    """Dead children that nobody has reaped."""
    found = []
    for thread in Path(f"/proc/{parent or os.getpid()}/task").iterdir():
        for pid in (thread / "children").read_text().split():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if stat.rpartition(")")[2].split()[0] == "Z":
                found.append(int(pid))
    return found


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def descriptors() -> int:
    """How many files, pipes and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def lines_of(tail: Sequence[str]) -> str:
    return "\n".join(tail)
