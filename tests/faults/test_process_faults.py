"""kill -9 of server, node, guardian, and of both at once: nothing is orphaned, nothing stays a zombie."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from garrison.kernel.ids import RandomIds
from garrison.runtimes import strays
from garrison.runtimes.guardianship import Mode, guardian_pid, spawn_guardian
from runtimes.small_fleet import GOOD, GRANDCHILD_LEAVES, STUBBORN, alive, wait_until, zombies

pytestmark = pytest.mark.slow

NODE = str(Path(__file__).with_name("node.py"))
SERVERS = {"good": GOOD, "forks": GRANDCHILD_LEAVES, "stubborn": STUBBORN}
PROCESSES = 4


@dataclass
class Home:
    root: Path
    fleet: str = field(default_factory=lambda: f"fault{RandomIds().new()}")
    guardians: list[int] = field(default_factory=list)

    def argv(self, mode: Mode, **order: Any) -> list[str]:
        whole = {"home": str(self.root), "fleet": self.fleet, "mode": mode, "servers": SERVERS, **order}
        return [sys.executable, NODE, json.dumps(whole)]

    def guarded(self, mode: Mode = "restart", fds: tuple[int, ...] = (), **order: Any) -> int:
        pid = spawn_guardian(
            self.argv(mode, **order), home_run=self.root / "run", fleet_id=self.fleet, mode=mode, fds=fds, env=env()
        )
        self.guardians.append(pid)
        return pid

    def ready(self, other_than: int = 0) -> dict[str, int]:
        """Wait for a node to be ready whose pid is another one."""
        found: dict[str, int] = {}

        def is_ready() -> bool:
            try:
                found.update(json.loads((self.root / "ready").read_text()))
            except (FileNotFoundError, ValueError):
                return False
            return found["node"] != other_than and alive(found["node"])

        wait_until(is_ready, 15)
        return found

    def processes(self) -> list[int]:
        return strays.find(self.fleet)

    def log(self) -> str:
        return (self.root / "logs/guardian.log").read_text()

    def machinery(self) -> list[int]:
        """Nodes and guardians of this fleet: its id is in their arguments."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and self.fleet.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
        return found

    def end(self) -> None:
        """They replace each other faster than one can kill them one by one: so again and again until none is left."""
        while doomed := self.machinery():
            for pid in doomed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in self.guardians:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        strays.sweep(self.fleet)


def env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}


def exit_code(pid: int, seconds: float = 15.0) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    raise AssertionError(f"process {pid} did not end")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    (tmp_path / "run").mkdir()
    yield made
    made.end()
    assert made.processes() == []


def test_the_guardian_starts_a_node_and_ends_with_it_on_sigterm(home: Home) -> None:
    guardian = home.guarded()
    pids = home.ready()
    assert pids["guardian"] == guardian == guardian_pid(home.root / "run")
    assert len(home.processes()) == PROCESSES
    os.kill(guardian, signal.SIGTERM)
    assert exit_code(guardian) == 0
    assert not alive(pids["node"])
    assert home.processes() == []


def test_a_node_that_ends_by_itself_ends_its_guardian(home: Home) -> None:
    guardian = home.guarded()
    os.kill(home.ready()["node"], signal.SIGTERM)
    assert exit_code(guardian) == 0


def test_a_killed_server_comes_back_and_its_grandchild_is_gone(home: Home) -> None:
    guardian = home.guarded()
    node = home.ready()["node"]
    family = home.processes()
    for pid in family:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue
    wait_until(lambda: len(home.processes()) == PROCESSES and not set(home.processes()) & set(family))
    wait_until(lambda: zombies(node) == [])
    assert alive(node)
    assert alive(guardian)


def test_a_killed_node_leaves_no_process_and_is_started_again(home: Home) -> None:
    guardian = home.guarded()
    node = home.ready()["node"]
    family = home.processes()
    began = time.monotonic()
    os.kill(node, 9)
    second = home.ready(other_than=node)["node"]
    assert time.monotonic() - began < 20
    assert not any(map(alive, family))
    assert len(home.processes()) == PROCESSES
    wait_until(lambda: zombies(guardian) == [])
    assert zombies(second) == []
    assert "ended" in home.log()


def test_a_killed_guardian_is_replaced_by_one_that_does_the_same_work(home: Home) -> None:
    guardian = home.guarded()
    node = home.ready()["node"]
    os.kill(guardian, 9)
    wait_until(lambda: guardian_pid(home.root / "run") not in (None, guardian))
    second = guardian_pid(home.root / "run")
    assert second is not None
    wait_until(lambda: f"watches node {node}" in home.log())
    assert home.ready()["node"] == node
    os.kill(node, 9)
    third = home.ready(other_than=node)
    assert third["guardian"] == second
    os.kill(second, signal.SIGTERM)
    wait_until(lambda: not alive(second) and not alive(third["node"]))
    assert home.processes() == []


def test_a_replaced_guardian_ends_when_the_node_says_that_it_leaves(home: Home) -> None:
    guardian = home.guarded()
    node = home.ready()["node"]
    os.kill(guardian, 9)
    wait_until(lambda: f"watches node {node}" in home.log())
    second = guardian_pid(home.root / "run")
    assert second is not None
    os.kill(node, signal.SIGTERM)
    wait_until(lambda: not alive(second) and not alive(node))
    assert home.processes() == []


def test_guardian_after_guardian_is_replaced(home: Home) -> None:
    last = home.guarded()
    node = home.ready()["node"]
    for _ in range(3):
        os.kill(last, 9)
        gone = last
        wait_until(lambda: guardian_pid(home.root / "run") not in (None, gone))  # noqa: B023
        last = guardian_pid(home.root / "run") or 0
    wait_until(lambda: zombies(node) == [])
    assert home.ready()["node"] == node


def test_node_and_guardian_killed_at_once_leave_at_most_what_the_next_sweep_ends(home: Home) -> None:
    guardian = home.guarded()
    node = home.ready()["node"]
    family = home.processes()
    os.kill(guardian, signal.SIGSTOP)  # so that it cannot act between the two
    os.kill(node, 9)
    os.kill(guardian, 9)
    wait_until(lambda: not alive(node) and len([pid for pid in family if alive(pid)]) <= 1)
    strays.sweep(home.fleet)
    assert not any(map(alive, family))


def test_a_node_in_the_foreground_makes_its_own_guardian_which_sweeps_and_starts_nothing(home: Home) -> None:
    process = subprocess.Popen(home.argv("sweep"), env=env())
    pids = home.ready()
    assert pids["guardian"] == guardian_pid(home.root / "run")
    family = home.processes()
    process.kill()
    process.wait()
    wait_until(lambda: not alive(pids["guardian"]) and not any(map(alive, family)))
    assert "started node" not in home.log()


def test_a_node_that_crashes_at_each_start_is_given_up(home: Home) -> None:
    guardian = home.guarded(crash=1)
    assert exit_code(guardian) == 1
    assert "giving up" in home.log()
    told = [json.loads(line) for line in home.log().splitlines()]
    assert all(line.keys() == {"time", "level", "logger", "message"} for line in told)
    assert (home.root / "logs/guardian.log").stat().st_mode & 0o077 == 0
    assert home.log().count("started node") == 6


def test_a_node_that_says_its_settings_are_wrong_is_not_started_again(home: Home) -> None:
    guardian = home.guarded(crash=78)
    assert exit_code(guardian) == 78
    assert home.log().count("started node") == 1


def test_the_address_survives_node_and_guardian_and_connections_wait_in_between(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address, fd = listener.getsockname(), listener.fileno()
        guardian = home.guarded(fds=(fd,), fd=fd)
        node = home.ready()["node"]
    assert asked(address) == node
    os.kill(guardian, 9)
    wait_until(lambda: f"watches node {node}" in home.log())
    assert asked(address) == node
    os.kill(node, 9)
    second = asked(address)  # connects at once, is answered by the next node
    assert second != node
    assert home.ready(other_than=node)["node"] == second


def asked(address: tuple[str, int]) -> int:
    """The pid of whoever answers there."""
    with socket.create_connection(address, timeout=15) as client:
        return int(client.recv(20))


def test_servers_do_not_inherit_the_listening_socket(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        home.guarded(fds=(listener.fileno(),), fd=listener.fileno())
        home.ready()
    for pid in home.processes():
        opened = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [target for target in opened if target.startswith("socket:")]


def test_the_guardian_is_small(home: Home) -> None:
    guardian = home.guarded()
    home.ready()
    status = Path(f"/proc/{guardian}/status").read_text()
    resident_kib = int(status.split("VmRSS:")[1].split()[0])
    assert resident_kib < 16 * 1024
    maps = Path(f"/proc/{guardian}/maps").read_text()
    assert "msgspec" not in maps
    assert "uvloop" not in maps
