"""`-f`: lines as they come, through a rotation, until Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from command_line import GARRISON, Shell, environment

pytestmark = pytest.mark.slow


@contextmanager
def following(garrison: Shell, *words: str) -> Iterator[subprocess.Popen[str]]:
    argv, pipe = [*GARRISON, *words], subprocess.PIPE
    process = subprocess.Popen(argv, cwd=garrison.folder, env=environment(), stdout=pipe, stderr=pipe, text=True)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode in (1, 130)
    finally:
        process.kill()
        process.wait()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_a_log_is_followed_through_its_rotation(garrison: Shell) -> None:
    folder = garrison.home / "logs" / "servers"
    folder.mkdir(parents=True)
    log = folder / "git.log"
    log.write_text("one\ntwo\n")
    with following(garrison, "logs", "git", "-f", "-n", "1") as process:
        assert next_line(process) == "two"
        with log.open("a") as file:
            file.write("three\n")
        assert next_line(process) == "three"
        log.rename(folder / "git.log.1")
        log.write_text("four\n")
        assert next_line(process) == "four"


def test_the_ledger_is_followed(garrison: Shell) -> None:
    garrison("keys", "create", "one", code=0)
    with following(garrison, "audit", "tail", "-f") as process:
        while "keys.create" not in (line := next_line(process)):
            assert process.poll() is None, line
        garrison("keys", "create", "two", code=0)
        assert next_line(process).endswith("keys.create  two  0")
