"""Changing files' contents. A file is replaced as a whole, in one step, or not at all."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from contextlib import suppress
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from garrison.kernel.errors import Conflict, Invalid
from garrison.kernel.ids import Ids, RandomIds
from garrison.servers.filesystem.diffs import Edit, apply, unified
from garrison.servers.filesystem.reading import FilePath
from garrison.servers.toolkit.paths import Place, Roots, holder, opened_file

EDIT_BYTES_MAX: Final = 4 * 1024 * 1024
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Written(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    created: bool
    """False when a file was replaced."""


class Edited(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    replacements: int
    diff: str
    """Unified diff of the whole change."""
    written: bool
    """False for a dry run."""

    def as_texts(self) -> list[str]:
        return [self.diff or "Nothing changed.", *([] if self.written else ["Dry run: nothing was written."])]


class Writing:
    def __init__(self, roots: Roots, ids: Ids | None = None) -> None:
        self._roots = roots
        self._ids = ids or RandomIds()

    def write_file(
        self,
        path: FilePath,
        content: Annotated[str, Meta(description="The whole content: text, or base64 as `encoding` says.")],
        encoding: Annotated[str, Meta(pattern="^(utf-8|base64)$", description="utf-8 or base64.")] = "utf-8",
        overwrite: Annotated[bool, Meta(description="Replace the file if it exists.")] = False,
    ) -> Written:
        """Create a file, or with `overwrite` replace one. Its folder must exist."""
        place = self._roots.place(path)
        data = _decoded(content, encoding)
        with holder(place) as (parent, name):
            if name == ".":
                raise Invalid("path.is_a_folder", f"{place.shown} is a folder, not a file.")
            existing = _mode_of_file(parent, name, place) if overwrite else None
            if existing is None:
                _create(parent, name, data)
            else:
                _replace(parent, name, data, existing, self._ids)
        return Written(path=place.shown, size_bytes=len(data), created=existing is None)

    def edit_file(
        self,
        path: FilePath,
        edits: Annotated[list[Edit], Meta(min_length=1, max_length=100, description="Applied in order, or none.")],
        dry_run: Annotated[bool, Meta(description="Only show the diff.")] = False,
    ) -> Edited:
        """Replace exact pieces of a text file of up to 4 MiB, and show what changed as a diff."""
        place = self._roots.place(path)
        before, status = _whole_text(place)
        after, count = apply(before, edits)
        diff = unified(before, after, place.shown)
        if not dry_run:
            with holder(place) as (parent, name):
                _refuse_changed(parent, name, status, place)
                _replace(parent, name, after.encode(), stat.S_IMODE(status.st_mode), self._ids)
        return Edited(path=place.shown, replacements=count, diff=diff, written=not dry_run)


def _decoded(content: str, encoding: str) -> bytes:
    if encoding == "utf-8":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        raise Invalid("file.base64", "The content is not valid base64.") from None


def _whole_text(place: Place) -> tuple[str, os.stat_result]:
    """(the text, the file's state when it was read)."""
    with opened_file(place) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
        data = file.read(EDIT_BYTES_MAX + 1)
        status = os.fstat(descriptor)
    if len(data) > EDIT_BYTES_MAX:
        raise Invalid("file.too_large", f"{place.shown} is larger than {EDIT_BYTES_MAX} bytes.")
    try:
        return data.decode(), status
    except UnicodeDecodeError:
        raise Invalid("file.binary", f"{place.shown} is not UTF-8 text.", "Replace it as a whole.") from None


def _refuse_changed(parent: int, name: str, read: os.stat_result, place: Place) -> None:
    now = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (read.st_ino, read.st_size, read.st_mtime_ns):
        raise Conflict("file.changed", f"{place.shown} was changed meanwhile.", "Read it again.")


def _mode_of_file(parent: int, name: str, place: Place) -> int | None:
    """Permission bits of the regular file that is there; None when nothing is."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise Conflict("path.not_a_file", f"{place.shown} exists and is not a file.")
    return stat.S_IMODE(mode)


def _create(parent: int, name: str, data: bytes, mode: int | None = None) -> None:
    """A new file with its data on disk; leaves nothing behind when that fails. `mode` None leaves it to the umask."""
    descriptor = os.open(name, _CREATE, 0o666 if mode is None else 0o600, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=parent)
        raise


def _replace(parent: int, name: str, data: bytes, mode: int, ids: Ids) -> None:
    """Put a complete new file in the place of the old one, with the old one's permissions."""
    temporary = f".{ids.new()}.tmp"
    _create(parent, temporary, data, mode)
    try:
        os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise
