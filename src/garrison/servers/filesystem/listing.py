"""Listing folders: one level by pages, or a tree to a depth. Memory is bounded by the limit, not by the folder."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec import Meta

from garrison.servers.filesystem.entries import Entry, entry_at
from garrison.servers.filesystem.reading import FilePath
from garrison.servers.toolkit.call import Call
from garrison.servers.toolkit.paths import Roots, open_folder, opened_directory, shown

_OPEN_BELOW = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class AllowedRoots(msgspec.Struct, frozen=True, kw_only=True):
    roots: list[str]
    writable: bool


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    entries: list[Entry]
    next_after: str | None
    """Give this as `after` to go on; null at the end."""


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    entries: list[Entry]
    """Depth first, sorted by name; each path is relative to `path`."""
    truncated: bool
    """True when `limit` was reached: ask for a subfolder, or for less depth."""

    def as_texts(self) -> list[str]:
        lines = [self.path, *(_line(entry) for entry in self.entries)]
        return ["\n".join(lines), *(["More entries were left out: the limit was reached."] if self.truncated else [])]


def _line(entry: Entry) -> str:
    indent = "  " * (entry.path.count("/") + 1)
    name = entry.path.rpartition("/")[2]
    return f"{indent}{name}" + ("/" if entry.kind == "directory" else f" -> {entry.target}" if entry.target else "")


class Listings:
    def __init__(self, roots: Roots, *, writable: bool) -> None:
        self._roots = roots
        self._writable = writable

    def list_allowed_directories(self) -> AllowedRoots:
        """The folders that this server may look into, and whether it may write there."""
        return AllowedRoots(roots=[shown(root.path) for root in self._roots.all], writable=self._writable)

    def list_directory(
        self,
        call: Call,
        path: FilePath = ".",
        limit: Annotated[int, Meta(ge=1, le=5_000, description="How many entries at most.")] = 500,
        after: Annotated[str, Meta(description="Go on behind this name: the `next_after` of the last answer.")] = "",
    ) -> Listing:
        """List one folder, sorted by name, with kind, size and time of change."""
        place = self._roots.place(path)
        with opened_directory(place) as directory:
            names = heapq.nsmallest(limit + 1, (name for name in _names(directory, call) if shown(name) > after), shown)
            found = (entry_at(directory, name, name) for name in names[:limit])
            entries = [entry for entry in found if entry]
        following = shown(names[limit - 1]) if len(names) > limit else None
        return Listing(path=place.shown, entries=entries, next_after=following)

    def directory_tree(
        self,
        call: Call,
        path: FilePath = ".",
        depth: Annotated[int, Meta(ge=1, le=32, description="How many levels down.")] = 3,
        limit: Annotated[int, Meta(ge=1, le=5_000, description="How many entries at most.")] = 1_000,
        exclude: Annotated[
            tuple[str, ...], Meta(description="Names of files and folders to leave out.", max_length=50)
        ] = (".git",),
    ) -> Tree:
        """List a folder and what is below it. Symbolic links are shown, not followed."""
        place = self._roots.place(path)
        walk = _TreeWalk(call, limit, frozenset(exclude))
        with opened_directory(place) as directory:
            walk.into(directory, "", depth)
        return Tree(path=place.shown, entries=walk.entries[:limit], truncated=len(walk.entries) > limit)


def _names(directory: int, call: Call) -> Iterator[str]:
    with os.scandir(directory) as found:
        for count, each in enumerate(found):
            if count % 1024 == 0:
                call.step(count, message="listing")
            yield each.name


class _TreeWalk:
    """Collects one entry more than the limit, which then says that there was more."""

    def __init__(self, call: Call, limit: int, exclude: frozenset[str]) -> None:
        self._call = call
        self._wanted = limit + 1
        self._exclude = exclude
        self.entries: list[Entry] = []

    def into(self, directory: int, prefix: str, depth: int) -> None:
        names = (name for name in _names(directory, self._call) if name not in self._exclude)
        for name in heapq.nsmallest(self._wanted - len(self.entries), names, shown):
            if len(self.entries) >= self._wanted:
                return
            found = entry_at(directory, name, prefix + name)
            if found is not None:
                self.entries.append(found)
                if found.kind == "directory" and depth > 1:
                    self._below(directory, name, prefix, depth - 1)

    def _below(self, directory: int, name: str, prefix: str, depth: int) -> None:
        with suppress(OSError):  # gone, changed into a link, or not readable: shown, but not entered
            descriptor = open_folder(name, _OPEN_BELOW, directory)
            try:
                self.into(descriptor, f"{prefix}{name}/", depth)
            finally:
                os.close(descriptor)
