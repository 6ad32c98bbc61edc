from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from garrison.kernel.ids import RandomIds
from garrison.runtimes import strays
from garrison.runtimes.reaper import Reaper
from runtimes.small_fleet import HANGS, PYTHON, alive, wait_until, zombies


@pytest.fixture
def fleet_id() -> Iterator[str]:
    made = f"test{RandomIds().new()}"
    yield made
    strays.sweep(made)


def marked(fleet_id: str, server: str = "s", instance: str = "i", program: str = HANGS) -> subprocess.Popen[bytes]:
    environment = {**os.environ, strays.MARK: strays.mark(fleet_id, server, instance)}
    process = subprocess.Popen([*PYTHON, program], env=environment, stdout=subprocess.DEVNULL)
    wait_until(lambda: process.pid in strays.find(fleet_id) or process.poll() is not None)
    return process


def test_a_sweep_ends_exactly_what_bears_the_mark(fleet_id: str) -> None:
    other = f"{fleet_id}9"
    processes = {
        "one": marked(fleet_id, "s", "i1"),
        "two": marked(fleet_id, "s", "i12"),
        "server": marked(fleet_id, "s2", "i1"),
        "fleet": marked(other, "s", "i1"),
    }
    try:
        assert strays.sweep(fleet_id, "s", "i1") == 1
        assert [name for name, process in processes.items() if alive(process.pid)] == ["two", "server", "fleet"]
        assert strays.sweep(fleet_id, "s") == 1
        assert [name for name, process in processes.items() if alive(process.pid)] == ["server", "fleet"]
        assert strays.sweep(fleet_id) == 1
        assert alive(processes["fleet"].pid)
    finally:
        strays.sweep(other)
        for process in processes.values():
            process.wait()


def test_a_sweep_keeps_up_with_processes_that_fork_as_they_die(fleet_id: str) -> None:
    chain = "for _ in range(40):\n if os.fork() == 0: os.setsid()\n else: os._exit(0)\n time.sleep(0.002)\n"
    program = f"import os, time\n{chain}time.sleep(60)"
    process = marked(fleet_id, program=program)
    strays.sweep(fleet_id)
    process.wait()
    assert strays.find(fleet_id) == []


def test_a_sweep_of_nothing_is_harmless() -> None:
    assert strays.sweep("nobody") == 0


def test_a_mark_cannot_be_confused_with_anothers() -> None:
    for bad in ("", "a:b", "nul\0"):
        with pytest.raises(ValueError, match="not usable"):
            strays.mark(bad, "s", "i")


ORPHANS = "import os\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: os.setsid()\nos._exit(0)"
"""Leaves two dead processes behind, in sessions of their own."""


def test_adopted_orphans_are_reaped_and_our_own_children_are_not(reaper: Reaper) -> None:
    ours = subprocess.Popen([*PYTHON, "raise SystemExit(5)"])
    announced = subprocess.Popen([*PYTHON, "raise SystemExit(6)"], start_new_session=True)
    reaper.owned.add(announced.pid)
    subprocess.run([*PYTHON, ORPHANS], check=True)
    wait_until(lambda: len(zombies()) >= 4)
    wait_until(lambda: reaper.reap() == [] and set(zombies()) == {ours.pid, announced.pid})
    assert (ours.wait(), announced.wait()) == (5, 6)
    assert reaper.reap() == []


def test_without_children_there_is_nothing_to_reap() -> None:
    code = "from garrison.runtimes.reaper import Reaper; r = Reaper(); r.adopt(); raise SystemExit(len(r.reap()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
