"""Finds the files that declare servers: in a project, and in the home folder when asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from garrison.catalog.clients import CLIENTS, GARRISON


@dataclass(frozen=True, slots=True)
class Found:
    """`client`: whose file it is. `user`: from the home folder, not from the project."""

    path: Path
    client: str
    user: bool = False


def discover(folder: Path, user_home: Path | None = None) -> tuple[Found, ...]:
    """In order of precedence: garrison.yaml, the `.mcp.json` family, the clients' folders; then those of the user."""
    found: dict[Path, Found] = {}
    for client in CLIENTS:
        for path in _matching(folder, client.project):
            found.setdefault(path, Found(path, client.name))
    if user_home is not None:
        for client in CLIENTS:
            for path in _matching(user_home, client.user):
                found.setdefault(path, Found(path, client.name, user=True))
    return tuple(found.values())


def fleet_files(found: tuple[Found, ...]) -> tuple[Path, ...]:
    """What a fleet is made of: the garrison.yaml alone if there is one, else all that was found."""
    ours = tuple(one.path for one in found if one.client == GARRISON.name)
    return ours[:1] or tuple(one.path for one in found)


def _matching(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        try:
            paths = sorted(folder.glob(pattern)) if "*" in pattern else [folder / pattern]
            yield from (path for path in paths if path.is_file())
        except OSError:  # a folder that may not be read holds nothing for us
            continue
