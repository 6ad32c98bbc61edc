"""Who runs, who may start, and what happens when the start fails."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from garrison.kernel.errors import Conflict, Invalid
from garrison.kernel.home import Home
from garrison.surfaces.halt import halt
from garrison.surfaces.launch import fleet_id, open_listener
from garrison.surfaces.presence import NodeNote, held, running_node, wait_for_ends


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def note(home: Home, pid: int) -> None:
    (home.run / "node.json").write_bytes(msgspec.json.encode(NodeNote(pid, "http://127.0.0.1:1")))


def test_a_note_of_a_dead_process_does_not_count(home: Home) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    note(home, process.pid)
    assert running_node(home) is None


def test_a_note_whose_pid_somebody_else_has_now_does_not_count(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        note(home, stranger.pid)
        assert running_node(home) is None
        assert halt(home, drain_s=0).was_running is False
        assert stranger.poll() is None
        stranger.kill()


def test_the_node_of_another_home_does_not_count(home: Home) -> None:
    program = "import sys; sys.stdin.read()"
    argv = [sys.executable, "-c", program, "garrison.surfaces.node", "--home", "/somewhere/else"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as other:
        note(home, other.pid)
        assert running_node(home) is None
        other.kill()


def test_a_damaged_note_is_no_note(home: Home) -> None:
    (home.run / "node.json").write_text("{")
    assert running_node(home) is None


def test_one_fleet_has_one_id_however_its_home_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert fleet_id(Home(tmp_path / "link")) == fleet_id(Home(tmp_path / "real"))
    assert fleet_id(Home(tmp_path / "real")) != fleet_id(Home(tmp_path / "other"))


def test_two_starts_of_one_home_wait_for_each_other(home: Home) -> None:
    order = []

    def second() -> None:
        with held(home):
            order.append("second")

    with held(home):
        thread = threading.Thread(target=second)
        thread.start()
        with pytest.raises(Conflict), held(home, wait_s=0.2):
            pass
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_a_taken_port_is_said_so(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict) as caught:
        open_listener(f"127.0.0.1:{taken.getsockname()[1]}")
    assert caught.value.code == "listen.in_use"
    assert "--listen 127.0.0.1:0" in caught.value.hint


def test_an_unknown_host_is_said_so() -> None:
    with pytest.raises(Invalid, match="is not an address of this machine"):
        open_listener("no-such-host.invalid:0")


def test_port_zero_takes_a_free_one() -> None:
    with open_listener("127.0.0.1:0") as first, open_listener("127.0.0.1:0") as second:
        assert first.getsockname()[1] != second.getsockname()[1]


def test_waiting_for_an_end_ends_with_the_process_or_the_time() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert wait_for_ends([process.pid], 0.05) == [process.pid]
        process.kill()
        assert wait_for_ends([process.pid], 5) == []
    assert wait_for_ends([process.pid], 0) == []


def test_halting_what_never_ran_is_harmless(tmp_path: Path) -> None:
    began = time.monotonic()
    assert halt(Home(tmp_path / "nothing")).was_running is False
    assert time.monotonic() - began < 20
    assert list(tmp_path.iterdir()) == []
