"""Reaps adopted orphans: a server's grandchildren whose own parent died are ours to bury, or they stay zombies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from garrison.runtimes.kernelcalls import become_subreaper

INTERVAL_S = 1.0


class Reaper:
    """Takes the exit statuses of orphans, and of nobody else.

    A child that we started is left to whoever waits for it: it is either in our own session (`subprocess.run` and
    the like) or its pid was announced in `owned` by the driver that started it in a session of its own.
    """

    def __init__(self) -> None:
        self.owned: set[int] = set()

    def adopt(self) -> None:
        """From now on orphaned descendants come to us."""
        become_subreaper()

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Reap now and then until cancelled."""
        while True:
            self.reap()
            await asyncio.sleep(interval_s)

    def reap(self) -> list[int]:
        """Reap the orphans that are dead now and return their pids. One system call when there is none."""
        if not _somebody_is_dead():
            return []
        session = os.getsid(0)
        return [pid for pid in _children() if self._is_dead_orphan(pid, session) and _bury(pid)]

    def _is_dead_orphan(self, pid: int, our_session: int) -> bool:
        if pid in self.owned:
            return False
        state, session = _state_and_session(pid)
        return state == "Z" and session != our_session


def _somebody_is_dead() -> bool:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False  # no children at all


def _children() -> Iterator[int]:
    """Pids of our children, of every thread of ours."""
    for thread in Path("/proc/self/task").iterdir():
        try:
            text = (thread / "children").read_text()
        except FileNotFoundError:
            continue  # the thread ended just now
        yield from map(int, text.split())


def _state_and_session(pid: int) -> tuple[str, int]:
    """Fields 3 and 6 of /proc/PID/stat (proc(5)); the name in field 2 may hold spaces and parentheses."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0], int(fields[3])


def _bury(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False  # somebody else was quicker
