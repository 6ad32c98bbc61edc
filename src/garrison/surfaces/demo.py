"""The demo fleet: built-in servers on the current folder, for whoever has no configuration yet."""

from __future__ import annotations

import sys
from pathlib import Path
from types import MappingProxyType

from garrison.catalog.references import escape
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ServerSpec

SOURCE = "demo"
"""Stands in `source` where the files of a configuration would."""


def demo_fleet(folder: Path) -> Snapshot:
    """Files of the folder (read only), its git history if it is a repository, and the time."""
    servers = [
        _built_in("filesystem", "Files of this folder, read only", folder, "--root", str(folder)),
        _built_in("time", "Clock and time zones", folder),
    ]
    if (folder / ".git").exists():
        servers.append(_built_in("git", "History of this repository", folder, "--root", str(folder)))
    return Snapshot(MappingProxyType({spec.name: spec for spec in servers}))


def _built_in(name: str, description: str, folder: Path, *arguments: str) -> ServerSpec:
    command = (sys.executable, "-P", "-m", "garrison.servers", name, *arguments)
    return ServerSpec(
        name=name,
        transport="stdio",
        command=tuple(escape(word) for word in command),
        cwd=escape(str(folder)),
        description=description,
    )
