"""One child process in a session of its own: its pipes, its end, and the end of all that it started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from garrison.kernel.descriptors import giving_back
from garrison.kernel.errors import Limited
from garrison.kernel.waiting import in_time
from garrison.runtimes.driver import Exit
from garrison.runtimes.kernelcalls import dies_with_parent
from garrison.runtimes.pipes import PipeReader, PipeWriter

WRITE_BYTES_MAX = 64 * 1024 * 1024
"""Bound of what waits for a server that does not read its stdin."""

LAST_WORDS_S = 0.25
"""How long a dead process's pipes are still read, should someone else hold them open."""

LAST_BYTES_MAX = 16 * 1024 * 1024
"""How much of what it left in a pipe is still read; a pipe of Linux holds 64 KiB unless somebody enlarged it."""

KILL_S = 5.0
"""How long SIGKILL may take; a process that waits for a broken disk or network mount takes longer."""

DRAIN_POLL_S = 0.05


@dataclass(frozen=True)
class Graces:
    """How patiently a process is asked to end, in seconds: after its stdin closed, after SIGTERM, after its stdout ended."""  # noqa: E501

    stdin_s: float = 1.0
    term_s: float = 3.0
    silent_s: float = 1.0


@dataclass(frozen=True)
class Wiring:
    """Who is told what, and how strays are found. `find` and `sweep` block: they are called in a thread."""

    on_stdout: Callable[[bytes], None]
    on_stderr: Callable[[bytes], None]
    on_dead: Callable[[Exit], None]
    """Called once, after the last byte of output."""
    find: Callable[[], Sequence[int]]
    sweep: Callable[[], int]


class Child:
    """Started by `start`; `ended` is done when neither the process nor anything marked is left."""

    def __init__(self, graces: Graces) -> None:
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._graces = graces
        self._dead = asyncio.Event()
        self._silent = asyncio.Event()
        self._stopping = False
        self._tasks: set[asyncio.Future[object]] = set()

    def start(self, argv: Sequence[str], executable: str, cwd: str, env: Mapping[str, str], wiring: Wiring) -> None:
        """Fork and exec, which takes some ms. Raises OSError and ValueError as `subprocess.Popen` does."""
        self._wiring = wiring
        with ExitStack() as undo:  # all descriptors first: so this fails as a whole or not at all
            (in_r, in_w), (out_r, out_w), (err_r, err_w) = (_pipe(undo) for _ in range(3))
            self._process = self._fork(argv, executable, cwd, env, (in_r, out_w, err_w))
            self.pid = self._process.pid
            undo.callback(self._discard)  # a process that we cannot watch must not stay
            self._pidfd = os.pidfd_open(self.pid)
            undo.pop_all()
        for end in (in_r, out_w, err_w):
            os.close(end)
        self._stdin = PipeWriter(in_w)
        self._stdout = PipeReader(out_r, self._wiring.on_stdout, self._fell_silent)
        self._stderr = PipeReader(err_r, self._wiring.on_stderr, lambda: None)
        asyncio.get_running_loop().add_reader(self._pidfd, self._died)

    def write(self, data: bytes) -> None:
        """Send to its stdin; dropped when that is closed, for then the end is being reported anyway."""
        if self._stdin.pending_bytes > WRITE_BYTES_MAX:
            raise Limited("server.not_reading", f"more than {WRITE_BYTES_MAX} bytes wait for the server to read them")
        self._stdin.write(data)

    async def stop(self) -> Exit:
        """Close its stdin, then SIGTERM, then SIGKILL to its group; wait until nothing is left."""
        if not self._stopping and not self._dead.is_set():
            self._stopping = True
            self._stdin.close()
            if not await _within(self._graces.stdin_s, self._dead):
                self._signal_group(signal.SIGTERM)
                if not await _within(self._graces.term_s, self._dead):
                    self._signal_group(signal.SIGKILL)
            if not await _within(KILL_S, self._dead):
                return Exit("does not die of SIGKILL: it hangs in the kernel")
        return await asyncio.shield(self.ended)

    @staticmethod
    def _fork(
        argv: Sequence[str], executable: str, cwd: str, env: Mapping[str, str], ends: tuple[int, int, int]
    ) -> subprocess.Popen[bytes]:
        """The pipes are ours: `Popen` loses those of its own that it had made when it runs out of descriptors."""
        return subprocess.Popen(
            list(argv),
            executable=executable,
            stdin=ends[0],
            stdout=ends[1],
            stderr=ends[2],
            cwd=cwd or None,
            env=env,
            start_new_session=True,
            preexec_fn=before_exec(),
        )

    def _discard(self) -> None:
        self._signal_group(signal.SIGKILL)
        self._process.wait()

    def _fell_silent(self) -> None:
        """Its stdout ended: nothing can come from it any more, so it is ended unless it ends by itself at once."""
        self._silent.set()
        if not self._dead.is_set() and not self._stopping:
            self._spawn(self._end_the_mute())

    async def _end_the_mute(self) -> None:
        if not await _within(self._graces.silent_s, self._dead):
            await self.stop()

    def _died(self) -> None:
        """The process is a zombie now; while it stays one, nobody else can get its group's number."""
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._dead.set()
        self._spawn(self._bury())

    async def _bury(self) -> None:
        if self._stopping:
            await self._let_the_family_finish()
        self._signal_group(signal.SIGKILL)
        code = self._process.wait()
        await _within(LAST_WORDS_S, self._silent)
        exit_ = Exit(_reason(code), code)
        self._stdin.abort()
        for output in (self._stdout, self._stderr):
            output.drain(LAST_BYTES_MAX)
            output.close()
        try:
            self._wiring.on_dead(exit_)
            await asyncio.to_thread(self._wiring.sweep)
        finally:
            self.ended.set_result(exit_)

    async def _let_the_family_finish(self) -> None:
        """A launcher such as npx dies of SIGTERM before the server that it launched has put its things away."""
        deadline = asyncio.get_running_loop().time() + self._graces.term_s
        while await asyncio.to_thread(self._wiring.find):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(DRAIN_POLL_S)

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # gone, or turned into another user: the sweep is next

    def _spawn(self, work: Coroutine[None, None, object]) -> None:
        """Run on the side; the set keeps the task from being collected."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _pipe(undo: ExitStack) -> tuple[int, int]:
    """A pipe's reading and writing end, closed again if what follows fails."""
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether the event came in time."""
    try:
        await in_time(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _reason(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def before_exec() -> Callable[[], None]:
    """For a child of ours, between fork and exec: it dies with us, and gets back the limit that we raised for us."""
    die_too, give_back = dies_with_parent(), giving_back()

    def in_child() -> None:
        die_too()
        give_back()

    return in_child
