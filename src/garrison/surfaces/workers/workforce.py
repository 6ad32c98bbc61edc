"""The primary's care for the other workers: it starts them, watches them, starts them again, and ends them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from garrison.kernel.errors import GarrisonError, Unavailable
from garrison.runtimes import strays
from garrison.runtimes.child import before_exec
from garrison.runtimes.reaper import Reaper
from garrison.runtimes.restartlimit import RestartLimit
from garrison.surfaces.workers.post import Post

LOOK_EVERY_S = 1.0
LOOK_WHILE_STARTING_S = 0.05
ANSWER_S = 5.0
"""How long a worker's event loop may be late before it counts as silent."""
KILL_S = 10.0
"""After its drain: how long a worker may take to end."""
GIVEN_UP = "given up"
"""News of a worker that will not come back."""
MARK = "@worker"
"""Stands where a server's name does in the mark of a worker process; no server is called so."""

log = logging.getLogger("garrison.workers")


@dataclass
class Standing:
    """What is known of one worker."""

    pid: int = 0
    state: str = "starting"
    problems: list[str] = field(default_factory=list)
    restarts: int = 0
    is_settled: bool = False


class Workforce:
    """Workers 2 and up. `listeners`: the descriptor of each one's listening socket, by its number.

    `take_over` is told of a worker that was given up: its socket is still open, and clients wait there.
    """

    def __init__(
        self,
        home: Path,
        fleet_id: str,
        listeners: Mapping[int, int],
        post: Post,
        reaper: Reaper,
        take_over: Callable[[int], Awaitable[None]],
    ) -> None:
        self.standings = {number: Standing() for number in listeners}
        self._home = home
        self._fleet_id = fleet_id
        self._listeners = listeners
        self._post = post
        self._reaper = reaper
        self._take_over = take_over
        self._ending = asyncio.Event()
        self._keeping: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._keeping = [asyncio.ensure_future(self._keep(number)) for number in self._listeners]

    async def settled(self) -> None:
        """Every worker has had its first verdict on every server, or was given up."""
        for standing in self.standings.values():
            while not (standing.is_settled or standing.state == "given up" or self._ending.is_set()):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_WHILE_STARTING_S)

    def missing(self) -> list[str]:
        """What is not as it should be; empty when all serve."""
        found = []
        for number, standing in self.standings.items():
            found += [f"worker {number}: {problem}" for problem in standing.problems]
            if standing.state != "running":
                found.append(f"worker {number} is {standing.state}")
        return found

    def silent(self) -> list[str]:
        """Those that live and do not answer, and those that were given up."""
        gone = [(number, one.state) for number, one in self.standings.items() if one.state in ("silent", "given up")]
        return [f"worker {number} is {state}" for number, state in gone]

    def rows(self) -> list[dict[str, Any]]:
        """For the status: one row for each."""
        return [
            {"number": number, "pid": one.pid, "state": one.state, "restarts": one.restarts}
            for number, one in self.standings.items()
        ]

    async def all_do(self, order: str, detail: Any = None, timeout_s: float = 10.0) -> dict[int, Any]:
        """What each answers; one that is away is left out: it begins afresh."""
        numbers = list(self._listeners)
        answers = await asyncio.gather(*(self._do(number, order, detail, timeout_s) for number in numbers))
        return {number: answer for number, answer in zip(numbers, answers, strict=True) if answer is not None}

    async def end(self, drain_s: float) -> None:
        """Ask all to end, and end them."""
        self._ending.set()
        self._signal_all(signal.SIGTERM)
        left = await self._until_ended(drain_s + KILL_S)
        if left:
            self._signal_all(signal.SIGKILL)
            await self._until_ended(KILL_S)
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    def hurry(self) -> None:
        """The end is to come without waiting for calls in flight."""
        self._signal_all(signal.SIGTERM)

    # ── inside ──

    async def _until_ended(self, limit_s: float) -> bool:
        """Whether some are left after the limit."""
        waiting = [task for task in self._keeping if not task.done()]
        return bool(waiting and (await asyncio.wait(waiting, timeout=limit_s))[1])

    async def _do(self, number: int, order: str, detail: Any, timeout_s: float) -> Any:
        if self.standings[number].state != "running":
            return None
        try:
            return await self._post.order(number, order, detail, timeout_s)
        except (GarrisonError, TimeoutError) as error:
            log.warning("a worker did not do as asked", extra={"worker": number, "order": order, "why": str(error)})
            return None

    async def _keep(self, number: int) -> None:
        """Life after life."""
        standing, limit = self.standings[number], RestartLimit()
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            process = self._spawn(number)
            standing.pid, standing.state, standing.is_settled = process.pid, "starting", False
            looking = asyncio.ensure_future(self._look_after(number))
            code = await self._end_of(process)
            looking.cancel()
            standing.pid, standing.state, standing.problems = 0, "away", []
            if self._ending.is_set():
                return
            delay_s = limit.next_delay_s(loop.time())
            log.error("a worker ended", extra={"worker": number, "code": code, "again_in_s": delay_s})
            if delay_s is None:
                standing.state = "given up"
                self._post.give_up(number)
                self._post.tell(GIVEN_UP, number)
                await self._take_over(number)
                return
            standing.restarts += 1
            await asyncio.sleep(delay_s)

    async def _look_after(self, number: int) -> None:
        """Ask again and again how it is."""
        standing = self.standings[number]
        while True:
            try:
                said = await self._post.order(number, "state", timeout_s=ANSWER_S)
            except (Unavailable, TimeoutError):
                standing.state = "silent" if standing.is_settled else "starting"
                said = None
            if said is not None:
                standing.state, standing.is_settled, standing.problems = "running", said["settled"], said["problems"]
            await asyncio.sleep(LOOK_EVERY_S if standing.is_settled else LOOK_WHILE_STARTING_S)

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        descriptor = self._listeners[number]
        argv = [sys.executable, "-P", "-m", "garrison.surfaces.worker", "--home", str(self._home)]
        mark = {strays.MARK: strays.mark(self._fleet_id, MARK, str(number))}
        process = subprocess.Popen(
            [*argv, "--number", str(number), "--fd", str(descriptor)],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **mark},
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C is the primary's alone
            preexec_fn=before_exec(),
        )
        self._reaper.owned.add(process.pid)
        return process

    async def _end_of(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit code, once it has ended."""
        loop = asyncio.get_running_loop()
        dead = asyncio.Event()
        pidfd = os.pidfd_open(process.pid)
        loop.add_reader(pidfd, dead.set)
        try:
            await dead.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        self._reaper.owned.discard(process.pid)
        return process.wait()

    def _signal_all(self, number: signal.Signals) -> None:
        for standing in self.standings.values():
            if standing.pid:
                os.kill(standing.pid, number)  # not waited for yet, so the pid is still its own
