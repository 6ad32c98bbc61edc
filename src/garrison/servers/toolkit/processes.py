"""Run a program and be done with it: an argument list, bounded output, a deadline, and an end that is really the end.

The program gets its own process group, so that a time-out or a cancelled call ends its children as well; where
`setpriv` exists it also dies with this process, even when that is killed outright.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from garrison.kernel.errors import TimedOut, Unavailable

_CHUNK_BYTES = 64 * 1024
_SETPRIV = shutil.which("setpriv")


@dataclass(frozen=True)
class Limits:
    """What one run may use."""

    timeout_s: float = 30.0
    output_bytes_max: int = 1024 * 1024
    """Standard output beyond this is cut and the program ended: `Finished.truncated`."""
    errors_bytes_max: int = 16 * 1024
    memory_bytes_max: int | None = None
    """Address space of each process; Linux only."""


@dataclass(frozen=True)
class Finished:
    """How a run ended. `code` is negative for a signal, and means nothing when `truncated`."""

    code: int
    output: bytes
    errors: bytes
    truncated: bool


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None = None,
    stdin: bytes = b"",
    limits: Limits | None = None,
) -> Finished:
    """Run `argv` to its end; `TimedOut` at the deadline, `Unavailable` when it cannot be started."""
    limits = limits or Limits()
    async with started(argv, env=env, cwd=cwd, limits=limits) as process:
        try:
            async with asyncio.timeout(limits.timeout_s):
                return await _collect(process, stdin, limits)
        except TimeoutError:
            raise TimedOut(
                "process.timeout",
                f"{argv[0]} did not finish within {limits.timeout_s:g} s and was ended.",
                "Narrow the request, or ask for less at a time.",
            ) from None


@asynccontextmanager
async def started(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None = None,
    pass_fds: Sequence[int] = (),
    limits: Limits,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running program with pipes on all three streams; its whole process group is gone when the block ends."""
    missing = Unavailable("process.not_started", f"{argv[0]} could not be started.", "Is it installed?")
    if shutil.which(argv[0], path=env.get("PATH", os.defpath)) is None:
        raise missing
    try:
        process = await asyncio.create_subprocess_exec(
            *_tied_to_us(argv),
            env=dict(env),
            cwd=cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            limit=_CHUNK_BYTES * 4,
        )
    except OSError:
        raise missing from None
    try:
        _confine(process.pid, limits)
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


def _tied_to_us(argv: Sequence[str]) -> list[str]:
    return [_SETPRIV, "--pdeathsig", "KILL", "--", *argv] if _SETPRIV else list(argv)


def _confine(pid: int, limits: Limits) -> None:
    """Backstops for a program that nobody can end any more: processor time beyond the deadline, and memory."""
    if not hasattr(resource, "prlimit"):
        return
    cpu_s = int(limits.timeout_s) + 2
    with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_CPU, (cpu_s, cpu_s))
        if limits.memory_bytes_max is not None:
            resource.prlimit(pid, resource.RLIMIT_AS, (limits.memory_bytes_max, limits.memory_bytes_max))


async def _collect(process: asyncio.subprocess.Process, stdin: bytes, limits: Limits) -> Finished:
    assert process.stdout is not None
    assert process.stderr is not None
    feeding = asyncio.create_task(feed(process, stdin))
    errors = asyncio.create_task(_drain(process.stderr, limits.errors_bytes_max))
    try:
        output, truncated = await _read_up_to(process.stdout, limits.output_bytes_max)
        if truncated:
            end_group(process.pid)
        code = await process.wait()
        await feeding
        return Finished(code, output, await errors, truncated)
    finally:
        for task in (feeding, errors):
            task.cancel()


async def feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Give `data` and the end of it to a program, which may have gone already."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if data and not process.stdin.is_closing():
            process.stdin.write(data)
            await process.stdin.drain()
    process.stdin.close()


async def _read_up_to(stream: asyncio.StreamReader, bytes_max: int) -> tuple[bytes, bool]:
    """All output, or the first `bytes_max` bytes of more."""
    output = bytearray()
    while chunk := await stream.read(_CHUNK_BYTES):
        output += chunk
        if len(output) > bytes_max:
            return bytes(output[:bytes_max]), True
    return bytes(output), False


async def _drain(stream: asyncio.StreamReader, keep_bytes: int) -> bytes:
    """Read to the end, so that the program never blocks on it; keep only the beginning."""
    kept = bytearray()
    while chunk := await stream.read(_CHUNK_BYTES):
        kept += chunk[: max(0, keep_bytes - len(kept))]
    return bytes(kept)


def end_group(pid: int) -> None:
    """SIGKILL to the process group that `pid` leads, if there still is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    end_group(process.pid)
    if process.stdin is not None:
        process.stdin.close()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            await _drain(stream, 0)
    await process.wait()
