from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from garrison.kernel.errors import TimedOut, Unavailable
from garrison.servers.toolkit.processes import Limits, run

ENVIRONMENT = {"PATH": os.environ["PATH"]}


async def python(program: str, *arguments: str, stdin: bytes = b"", limits: Limits | None = None) -> Any:
    return await run([sys.executable, "-c", program, *arguments], env=ENVIRONMENT, stdin=stdin, limits=limits)


async def test_output_errors_and_code_come_back() -> None:
    finished = await python("import sys; print(sys.stdin.read()); sys.stderr.write('oh'); sys.exit(3)", stdin=b"in")
    assert (finished.output, finished.errors, finished.code, finished.truncated) == (b"in\n", b"oh", 3, False)


async def test_arguments_reach_the_program_as_they_are() -> None:
    words = ["--help", "-x", "$(id)", "; ls", "a b", "*", ""]
    finished = await python("import sys; print(sys.argv[1:])", *words)
    assert finished.output.decode().strip() == str(words)


async def test_endless_output_is_cut_and_the_program_ended() -> None:
    finished = await python("while True: print('x' * 1000)", limits=Limits(output_bytes_max=10_000))
    assert len(finished.output) == 10_000
    assert finished.truncated


async def test_endless_errors_do_not_block_the_program() -> None:
    finished = await python("import sys; sys.stderr.write('x' * 3_000_000); print('done')")
    assert finished.output == b"done\n"
    assert len(finished.errors) == Limits().errors_bytes_max


async def test_a_deadline_ends_the_program_and_its_children(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"0\.5 s"):
        await python(spawning(tmp_path / "pid"), limits=Limits(timeout_s=0.5))
    assert time.monotonic() - started < 20
    await eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


async def test_a_cancelled_run_ends_the_program_and_its_children(
    tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    task = asyncio.create_task(python(spawning(tmp_path / "pid")))
    await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


async def test_a_missing_program_is_a_clear_error() -> None:
    with pytest.raises(Unavailable, match="/nothing/here could not be started"):
        await run(["/nothing/here"], env={})
    with pytest.raises(Unavailable):
        await run(["python3"], env={"PATH": "/nowhere"})


async def test_memory_is_bounded() -> None:
    finished = await python("x = bytearray(2_000_000_000)", limits=Limits(memory_bytes_max=500_000_000))
    assert finished.code
    assert b"MemoryError" in finished.errors


def spawning(pid_file: Path) -> str:
    return (
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
        "child.wait()"
    )


def alive(pid: int) -> bool:
    """Zombies count as dead: whoever adopts them reaps them."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
