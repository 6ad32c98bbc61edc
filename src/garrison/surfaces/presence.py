"""Whether a fleet runs, and the one lock that keeps two starts and stops of it apart. Reads files and /proc."""

from __future__ import annotations

import fcntl
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from garrison.kernel.errors import Conflict, Unavailable
from garrison.kernel.home import Home
from garrison.runtimes.guardianship import guardian_pid

LOCK_WAIT_S = 300.0
"""How long another `up` or `down` of the same home may take before we stop waiting for it."""


class NodeNote(msgspec.Struct, frozen=True):
    """`run/node.json`: written by a node that serves, removed at a clean end."""

    pid: int
    url: str
    guardian_pid: int = 0
    started_at: str = ""
    version: str = ""


def read_note(home: Home) -> NodeNote | None:
    try:
        return msgspec.json.decode((home.run / "node.json").read_bytes(), type=NodeNote)
    except (OSError, msgspec.MsgspecError):
        return None


def running_node(home: Home) -> NodeNote | None:
    """The node that serves this home now; a note left behind by a dead one does not count."""
    note = read_note(home)
    return note if note is not None and is_node(note.pid, home) else None


def returning_node(home: Home, patience_s: float = 10.0) -> NodeNote | None:
    """The same, but while a guardian is at work a node that died is waited for: it comes back."""
    deadline = time.monotonic() + patience_s
    while True:
        note = running_node(home)
        if note is not None or running_guardian(home) is None or time.monotonic() > deadline:
            return note
        time.sleep(0.05)


def wait_for_node(home: Home, timeout_s: float) -> NodeNote | None:
    """The node once it serves; None when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while (note := running_node(home)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return note


def running_guardian(home: Home) -> int | None:
    """The guardian of this home, not of another one that got the pid of ours."""
    pid = guardian_pid(home.run)
    return pid if pid is not None and str(home.run).encode() in _command_line(pid) else None


def is_node(pid: int, home: Home) -> bool:
    """Whether this living process serves this home: pids are given out again, most of all after a reboot."""
    command = _command_line(pid)
    if b"garrison.surfaces.node" in command:
        return str(home.root).encode() in command
    return b"garrison" in command and b"--foreground" in command


def _command_line(pid: int) -> bytes:
    """Empty for one that is dead, a zombie included."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_for_ends(pids: list[int], timeout_s: float) -> list[int]:
    """Wait until the processes have ended, zombies included; returns those that have not."""
    deadline = time.monotonic() + timeout_s
    return [pid for pid in pids if not _ended(pid, max(0.0, deadline - time.monotonic()))]


def _ended(pid: int, timeout_s: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return bool(waiting.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


@contextmanager
def held(home: Home, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Nobody else starts, changes or stops this fleet meanwhile. Raises `Conflict` when somebody does for too long."""
    try:
        home.create()
        descriptor = os.open(home.run / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"{home.root} cannot be used: {error.strerror}"
        raise Unavailable("home.unusable", message, "choose another folder with --home") from error
    try:
        _lock(descriptor, time.monotonic() + wait_s)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = "another `garrison up` or `down` of this home is still at work"
                raise Conflict("fleet.busy", message, "wait for it, or end it") from None
            time.sleep(0.1)
