"""Finds and ends what a fleet's servers left behind, by a mark in the environment that every descendant inherits.

A server may fork, daemonise and start sessions of its own: process groups and parents lose it, the mark does not.
Standard library only, and nothing slow to import: the guardian, which must stay small, uses this too.
"""

# pathlib would cost the guardian a third of its start-up time, hence plain `open` here.
# ruff: noqa: PTH123
from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator

MARK = "GARRISON_INSTANCE"
"""Environment variable `<fleet id>:<server>:<instance id>` in every server process."""

ROUNDS_MAX = 50
"""Sweeps until none is found; a fork bomb may need several."""

DEATH_WAIT_S = 2.0
"""How long a killed process may take to die; only one that hangs in the kernel takes longer."""


def mark(fleet_id: str, server: str, instance_id: str) -> str:
    """The value of the mark. The parts hold no colon, so that one fleet's mark is no prefix of another's."""
    for part in (fleet_id, server, instance_id):
        if not part or ":" in part or "\0" in part:
            raise ValueError(f"not usable in a mark: {part!r}")
    return f"{fleet_id}:{server}:{instance_id}"


def find(fleet_id: str, server: str = "", instance_id: str = "") -> list[int]:
    """Pids of the living processes of this user that carry the mark; empty parts match everything."""
    wanted = _prefix(fleet_id, server, instance_id)
    return [pid for pid in _own_pids() if _carries(pid, wanted)]


def sweep(fleet_id: str, server: str = "", instance_id: str = "") -> int:
    """Kill every marked process, and what it forks meanwhile; return how many were killed. Blocks for milliseconds."""
    wanted = _prefix(fleet_id, server, instance_id)
    killed = 0
    for _ in range(ROUNDS_MAX):
        doomed = [fd for pid in _own_pids() if (fd := _kill(pid, wanted)) is not None]
        if not doomed:
            break
        killed += len(doomed)
        if not _await_deaths(doomed):
            break
    return killed


def _prefix(fleet_id: str, server: str, instance_id: str) -> bytes:
    parts = [fleet_id, server, instance_id] if instance_id else [fleet_id, server, ""] if server else [fleet_id, ""]
    return f"{MARK}={':'.join(parts)}".encode()


def _own_pids() -> Iterator[int]:
    """Processes of this user, except this one."""
    myself, user = os.getpid(), os.geteuid()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == myself:
            continue
        try:
            if entry.stat().st_uid == user:
                yield int(entry.name)
        except FileNotFoundError:
            continue  # it ended just now


def _carries(pid: int, wanted: bytes) -> bool:
    """Whether the process's environment has the mark. Zombies have no environment, so they never match."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return False  # ended, or not ours to read
    whole = wanted[-1:] != b":"
    entries = (entry for entry in environment.split(b"\0") if entry.startswith(wanted))
    return any(not whole or entry == wanted for entry in entries)


def _kill(pid: int, wanted: bytes) -> int | None:
    """Kill the process if it is marked; the descriptor becomes readable when it is dead. The caller closes it."""
    if not _carries(pid, wanted):
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    # Asked again now that the descriptor holds the identity: the pid might have changed hands in between.
    if not _carries(pid, wanted):
        os.close(descriptor)
        return None
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _await_deaths(descriptors: list[int]) -> bool:
    """Whether all died in time."""
    deadline = time.monotonic() + DEATH_WAIT_S
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    alive = set(descriptors)
    while alive and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in waiting.poll(left * 1000):
            waiting.unregister(descriptor)
            alive.discard(descriptor)
    for descriptor in descriptors:
        os.close(descriptor)
    return not alive
