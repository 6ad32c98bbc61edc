"""The real `garrison` in a process of its own, as a user's shell would run it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garrison.surfaces.cli.main import load_command

GARRISON = (sys.executable, "-P", "-c", "from garrison.surfaces.cli.main import run; run()")
"""Not the installed script, so that this very checkout is run."""

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """A folder to stand in; its home is `.garrison` there."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / ".garrison"

    def __call__(
        self, *words: str, timeout_s: float = 120.0, code: int | None = None, stdin: str = "", **variables: str
    ) -> Said:
        """Run `garrison WORDS`; `code`: the exit code that is expected."""
        done = subprocess.run(
            [*GARRISON, *words],
            cwd=self.folder,
            env=environment(**variables),
            capture_output=True,
            input=stdin,
            text=True,
            timeout=timeout_s,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert code is None or said.code == code, f"exit code {said.code}\n{said.out}\n{said.err}"
        return said


def environment(**variables: str) -> dict[str, str]:
    """Little of ours, so that settings and keys of whoever runs the tests do not matter."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(("PIP_", "UV_"))}
    return {**kept, **variables}


def parse(line: str) -> None:
    """Have `garrison …` read by its own command line, without running it. Raises for what it would not take."""
    words = shlex.split(re.split(" [<>|] ", line)[0])
    assert words[0] == "garrison", line
    command, rest = load_command(words[1]), words[2:]
    if hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(words[1], rest)
