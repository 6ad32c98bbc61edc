"""Beneath-only paths: a path from a caller becomes a descriptor below an allowed root, or an error.

The kernel never resolves a path for us. Each component is opened relative to its parent's descriptor with
`O_NOFOLLOW`; a symbolic link is read as text and walked by the same rules. So there is no moment between a check
and a use in which a swapped directory or link could lead outside, and no string prefix is ever compared:
`/root-evil` is not beneath `/root`. The model is that of Go's `os.Root` and Linux's `RESOLVE_BENEATH`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from garrison.kernel.errors import Denied, Invalid, NotFound
from garrison.kernel.home import MARK
from garrison.servers.toolkit.oserrors import translated

LINKS_MAX: Final = 40
PATH_BYTES_MAX: Final = 4096
NAME_BYTES_MAX: Final = 255
COMPONENTS_MAX: Final = 256

_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_folder(name: str, flags: int, dir_fd: int) -> int:
    """A descriptor of a folder. A home of Garrison's, which holds keys and secrets, is as good as closed."""
    descriptor = os.open(name, flags, dir_fd=dir_fd)
    try:
        os.stat(MARK, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return descriptor
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    raise PermissionError(errno.EACCES, "a home of Garrison's")


def shown(name: str) -> str:
    """A file name as valid Unicode: bytes that are none become the replacement character."""
    return os.fsencode(name).decode(errors="replace")


@dataclass(frozen=True)
class Place:
    """Where a caller's path points: a root and the components below it, not yet looked at on disk."""

    root: Root
    parts: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The absolute path, for people."""
        return shown("/".join((self.root.path.rstrip("/"), *self.parts)) or "/")

    def child(self, name: str) -> Place:
        return Place(self.root, (*self.parts, name))


@dataclass(frozen=True)
class Root:
    """An allowed folder. `path` is canonical; `given` is how it was named and is accepted in paths as well."""

    path: str
    given: str

    @classmethod
    def at(cls, path: str) -> Root:
        """`NotFound` when there is no such folder."""
        given = os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  # lexical on purpose
        canonical = os.path.realpath(given)
        if not Path(canonical).is_dir():
            raise NotFound("root.missing", f"{given} is not a folder.", "Create it, or name another root.")
        return cls(canonical, given)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the root, reached from `/` without following any link.

        Opened anew for each operation, so that a root that was removed and made again is the new one, and without
        links, so that a root inside a writable root cannot be swapped for a link to somewhere else.
        """
        descriptor = os.open("/", _DIRECTORY)
        try:
            for name in PurePosixPath(self.path).parts[1:]:
                with translated(shown(self.path)):
                    below = open_folder(name, _DIRECTORY, descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def parts_of(self, path: str) -> tuple[str, ...] | None:
        """The components of an absolute path below this root, or None when it lies elsewhere; never a string prefix."""
        wanted = PurePosixPath(path).parts
        for start in {self.path, self.given}:
            prefix = PurePosixPath(start).parts
            if wanted[: len(prefix)] == prefix:
                return wanted[len(prefix) :]
        return None


class Roots:
    """The allowed folders of one server."""

    def __init__(self, paths: Sequence[str]) -> None:
        if not paths:
            raise Invalid("root.none", "No root is given.", "Name at least one folder with --root PATH.")
        self.all = tuple(Root.at(path) for path in paths)

    def place(self, path: str) -> Place:
        """Read a caller's path: absolute below one of the roots, or relative to the first root."""
        _check_text(path)
        if not path.startswith("/"):
            return Place(self.all[0], _flattened(PurePosixPath(path).parts, path))
        flat = "/" + "/".join(_flattened(PurePosixPath(path).parts[1:], path, clamp=True))
        found = [(root, parts) for root in self.all if (parts := root.parts_of(flat)) is not None]
        if not found:
            raise outside(path)
        root, parts = min(found, key=lambda each: len(each[1]))  # the innermost root
        return Place(root, parts)


def outside(path: str) -> Denied:
    """The one refusal for every way of leaving the roots."""
    return Denied(
        "path.outside", f"{shown(path[:200])} is outside the allowed roots.", "Give a path beneath one of them."
    )


def _check_text(path: str) -> None:
    if not path:
        raise Invalid("path.empty", "The path is empty.", "Use . for the root itself.")
    if "\0" in path:
        raise Invalid("path.nul", "The path contains a NUL character.")
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        raise Invalid("path.encoding", "The path is not valid Unicode text.") from None
    names = encoded.split(b"/")
    if len(encoded) > PATH_BYTES_MAX or len(names) > COMPONENTS_MAX or max(map(len, names)) > NAME_BYTES_MAX:
        raise Invalid(
            "path.too_long", f"The path is longer than {PATH_BYTES_MAX} bytes or a name than {NAME_BYTES_MAX} bytes."
        )


def _flattened(parts: Sequence[str], path: str, *, clamp: bool = False) -> tuple[str, ...]:
    """Without `..`; one too many is an escape, or with `clamp` stays at the top, as `/..` does."""
    flat: list[str] = []
    for part in parts:
        if part != "..":
            flat.append(part)
        elif flat:
            flat.pop()
        elif not clamp:
            raise outside(path)
    return tuple(flat)


class _Walk:
    """The descriptors from the root down to where we are; `..` goes back up this stack and never above its foot."""

    def __init__(self, place: Place, root_fd: int, links_max: int) -> None:
        self._place = place
        self._links_max = links_max
        self._stack = [os.dup(root_fd)]
        self._links = 0

    @property
    def here(self) -> int:
        return self._stack[-1]

    def close(self) -> None:
        while self._stack:
            os.close(self._stack.pop())

    def parent_of_last(self) -> str:
        """Walk to the directory that holds the place's final object; returns that object's name, `.` for the root."""
        pending = list(reversed(self._place.parts))
        while pending:
            name = pending.pop()
            if name == "..":
                self._up()
            elif (target := self._link_at(name)) is not None:
                self._follow(target, pending)
            elif not pending:
                return name
            else:
                self._down(name)
        return "."

    def _up(self) -> None:
        if len(self._stack) == 1:
            raise outside(self._place.shown)
        os.close(self._stack.pop())

    def _down(self, name: str) -> None:
        # If the name has just become a link this fails (ENOTDIR, ELOOP); it is never followed.
        self._stack.append(open_folder(name, _DIRECTORY, self.here))

    def _link_at(self, name: str) -> str | None:
        try:
            return os.readlink(name, dir_fd=self.here)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None  # not a link, or nothing there: opening it will tell
            raise

    def _follow(self, target: str, pending: list[str]) -> None:
        self._links += 1
        if self._links > self._links_max:
            raise Invalid("path.links", f"{self._place.shown} passes more than {self._links_max} symbolic links.")
        parts: Sequence[str] = PurePosixPath(target).parts
        if target.startswith("/"):
            below = self._place.root.parts_of(target)
            if below is None:
                raise outside(self._place.shown)
            parts = below
            while len(self._stack) > 1:
                os.close(self._stack.pop())
        pending.extend(reversed(parts))


@contextmanager
def holder(place: Place, *, follow_links: bool = True) -> Iterator[tuple[int, str]]:
    """(descriptor of the directory, name) of the object that `place` leads to, links on the way followed beneath.

    The name is `.` for a root. The object may be missing. Whoever uses the name must not follow links
    (`O_NOFOLLOW`, `follow_symlinks=False`), because it may have become one since.
    """
    with place.root.opened() as root_fd, translated(place.shown):
        walk = _Walk(place, root_fd, links_max=LINKS_MAX if follow_links else 0)
        try:
            name = walk.parent_of_last()
            yield walk.here, name
        finally:
            walk.close()


@contextmanager
def entry(place: Place) -> Iterator[tuple[int, str]]:
    """Like `holder`, but the last component itself is not followed: for removing and moving, which act on links."""
    if not place.parts:
        raise Denied("path.is_root", "A root itself cannot be moved, replaced or removed.")
    with opened_directory(Place(place.root, place.parts[:-1])) as parent, translated(place.shown):
        yield parent, place.parts[-1]


@contextmanager
def opened_file(place: Place, *, follow_links: bool = True) -> Iterator[int]:
    """A descriptor for reading a regular file; other kinds are refused, and never block (FIFOs, devices).

    Without `follow_links` a path that passes or ends at a link is refused, even when the link stays beneath.
    """
    with holder(place, follow_links=follow_links) as (parent, name):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, "Is a directory")
            if not stat.S_ISREG(mode):
                raise Invalid("path.not_a_file", f"{place.shown} is neither a file nor a folder.")
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def opened_directory(place: Place) -> Iterator[int]:
    """A descriptor of a directory that can be listed."""
    with holder(place) as (parent, name):
        descriptor = open_folder(name, _LISTABLE, parent)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
