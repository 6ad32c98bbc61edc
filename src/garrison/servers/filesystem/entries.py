"""What the filesystem tools say about one object on disk."""

from __future__ import annotations

import os
import stat
from typing import Literal

import msgspec

from garrison.kernel.clock import rfc3339
from garrison.servers.toolkit.paths import shown

Kind = Literal["file", "directory", "link", "other"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object in a folder. `path` is relative to the folder that was asked for."""

    path: str
    kind: Kind
    size_bytes: int
    modified: str
    """UTC, RFC 3339."""
    target: str = ""
    """Where a symbolic link points, as text."""


def kind_of(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"


def entry_at(directory: int, name: str, path: str) -> Entry | None:
    """Describe `name` in the open `directory` without following it; None when it has just gone."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else ""
    except OSError:
        return None
    return Entry(
        path=shown(path),
        kind=kind_of(status.st_mode),
        size_bytes=status.st_size,
        modified=rfc3339(status.st_mtime_ns),
        target=shown(target),
    )
