"""Folders made, and things moved and deleted. Links are moved and deleted themselves, never what they point to."""

from __future__ import annotations

import errno
import os
import stat
from typing import Annotated

import msgspec
from msgspec import Meta

from garrison.kernel.errors import Conflict, Invalid
from garrison.servers.filesystem.reading import FilePath
from garrison.servers.toolkit.call import Call
from garrison.servers.toolkit.oserrors import translated
from garrison.servers.toolkit.paths import Place, Roots, entry, holder, opened_directory


class Made(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    created: int
    """How many folders were made; 0 when it was there already."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    destination: str


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    removed: int
    """Files, links and folders."""


class Arranging:
    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    def create_directory(self, path: FilePath) -> Made:
        """Make a folder and the missing ones above it; nothing happens when it exists."""
        place = self._roots.place(path)
        created = sum(_make(Place(place.root, place.parts[:depth])) for depth in range(1, len(place.parts) + 1))
        return Made(path=place.shown, created=created)

    def move_file(
        self,
        source: FilePath,
        destination: FilePath,
        overwrite: Annotated[bool, Meta(description="Replace a file at the destination.")] = False,
    ) -> Moved:
        """Move or rename a file, folder or link. The destination's folder must exist."""
        origin, goal = self._roots.place(source), self._roots.place(destination)
        if origin.root == goal.root and goal.parts[: len(origin.parts)] == origin.parts and goal != origin:
            raise Invalid("move.into_itself", "A folder cannot be moved into itself.")
        with entry(origin) as (source_parent, name), entry(goal) as (goal_parent, new_name), translated(origin.shown):
            if overwrite:
                os.replace(name, new_name, src_dir_fd=source_parent, dst_dir_fd=goal_parent)
            else:
                _move_without_overwriting(source_parent, name, goal_parent, new_name, goal)
        return Moved(source=origin.shown, destination=goal.shown)

    def delete(
        self,
        call: Call,
        path: FilePath,
        recursive: Annotated[bool, Meta(description="Remove a folder with all that is in it.")] = False,
    ) -> Deleted:
        """Delete a file, a link, an empty folder, or with `recursive` a folder and its contents. Not undoable."""
        place = self._roots.place(path)
        with entry(place) as (parent, name), translated(place.shown):
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                os.unlink(name, dir_fd=parent)
                return Deleted(path=place.shown, removed=1)
            below = _empty(parent, name, call) if recursive else 0
            os.rmdir(name, dir_fd=parent)
        return Deleted(path=place.shown, removed=below + 1)


def _make(place: Place) -> bool:
    """Make one folder; False when a folder is there already."""
    with holder(place) as (parent, name):
        try:
            os.mkdir(name, dir_fd=parent)
        except FileExistsError:
            with opened_directory(place):  # refuses anything but a folder
                return False
        return True


def _move_without_overwriting(source_parent: int, name: str, goal_parent: int, new_name: str, goal: Place) -> None:
    """A file is linked to its new name, which fails if that is taken, and then unlinked: there is no race to lose."""
    mode = os.stat(name, dir_fd=source_parent, follow_symlinks=False).st_mode
    if not stat.S_ISDIR(mode):
        try:
            os.link(name, new_name, src_dir_fd=source_parent, dst_dir_fd=goal_parent, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP):  # a file system without hard links: go on below
                raise
        else:
            os.unlink(name, dir_fd=source_parent)
            return
    # A folder can only ever replace an empty folder, so nothing is lost in the moment after this check.
    if _is_there(goal_parent, new_name):
        raise Conflict("path.exists", f"{goal.shown} exists already.", "Choose another name, or overwrite.")
    os.rename(name, new_name, src_dir_fd=source_parent, dst_dir_fd=goal_parent)


def _is_there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _empty(parent: int, name: str, call: Call) -> int:
    """Remove all that is in a folder, from the bottom up, by descriptors; returns how many objects."""
    removed = 0
    for _, folders, files, directory in os.fwalk(name, topdown=False, dir_fd=parent, follow_symlinks=False):
        for each in files:
            call.step(removed, message="deleting")
            os.unlink(each, dir_fd=directory)
            removed += 1
        for each in folders:  # links to folders are listed here as well
            is_link = stat.S_ISLNK(os.stat(each, dir_fd=directory, follow_symlinks=False).st_mode)
            (os.unlink if is_link else os.rmdir)(each, dir_fd=directory)
            removed += 1
    return removed
