"""Reading files: text by lines, bytes by range, and facts about one object."""

from __future__ import annotations

import base64
import mimetypes
import os
import re
import stat
from collections.abc import Iterator
from typing import Annotated, BinaryIO, Final

import msgspec
from msgspec import Meta

from garrison.kernel.clock import rfc3339
from garrison.kernel.errors import Invalid
from garrison.servers.filesystem.entries import Kind, kind_of
from garrison.servers.toolkit.call import Call
from garrison.servers.toolkit.oserrors import translated
from garrison.servers.toolkit.paths import Place, Roots, entry, opened_file, shown

TEXT_BYTES_MAX: Final = 512 * 1024
BINARY_BYTES_MAX: Final = 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_SNIFF_BYTES: Final = 8 * 1024

FilePath = Annotated[str, Meta(description="Absolute beneath a root, or relative to the first root.", max_length=4096)]


class TextPage(msgspec.Struct, frozen=True, kw_only=True):
    """A run of lines, exactly as in the file."""

    path: str
    text: str
    first_line: int | None
    """Number of the first line given, from 1; null when counted from the end."""
    lines: int
    size_bytes: int
    """Size of the whole file."""
    next_line: int | None
    """Where to go on reading; null at the end of the file."""

    def as_texts(self) -> list[str]:
        return [self.text] if self.next_line is None else [self.text, f"More follows: first_line={self.next_line}."]


class BinaryPage(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    base64: str
    media_type: str
    offset: int
    length: int
    size_bytes: int
    next_offset: int | None


class Info(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    kind: Kind
    size_bytes: int
    modified: str
    changed: str
    permissions: str
    """Octal, like `0644`."""
    owner: int
    group: int
    target: str | None
    """Where a symbolic link points, as text."""


class Reading:
    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    def read_text_file(
        self,
        call: Call,
        path: FilePath,
        first_line: Annotated[int, Meta(ge=1, description="First line to give, from 1.")] = 1,
        line_count: Annotated[int, Meta(ge=1, le=20_000, description="How many lines at most.")] = 1_000,
        tail: Annotated[int, Meta(ge=0, le=20_000, description="Instead: this many lines from the end.")] = 0,
    ) -> TextPage:
        """Read lines of a UTF-8 text file, at most 512 KiB at a time; read on from `next_line`."""
        place = self._roots.place(path)
        with opened_file(place) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
            _refuse_binary(file, place)
            size_bytes = os.fstat(descriptor).st_size
            if tail:
                text, lines = _last_lines(file, tail)
                return _page(place, text, None, lines, size_bytes, None)
            text, lines, more = _lines_from(file, first_line, line_count, call)
            return _page(place, text, first_line, lines, size_bytes, first_line + lines if more else None)

    def read_binary_file(
        self,
        path: FilePath,
        offset: Annotated[int, Meta(ge=0, description="First byte, from 0.")] = 0,
        length: Annotated[int, Meta(ge=1, le=BINARY_BYTES_MAX, description="How many bytes at most.")] = 256 * 1024,
    ) -> BinaryPage:
        """Read bytes of any file as base64, at most 1 MiB at a time; read on from `next_offset`."""
        place = self._roots.place(path)
        with opened_file(place) as descriptor:
            data = os.pread(descriptor, length, offset)
            size_bytes = os.fstat(descriptor).st_size
        end = offset + len(data)
        return BinaryPage(
            path=place.shown,
            base64=base64.b64encode(data).decode(),
            media_type=mimetypes.guess_type(place.shown)[0] or "application/octet-stream",
            offset=offset,
            length=len(data),
            size_bytes=size_bytes,
            next_offset=end if data and end < size_bytes else None,
        )

    def get_file_info(self, path: FilePath) -> Info:
        """Facts about a file, folder or symbolic link, which is not followed."""
        place = self._roots.place(path)
        if not place.parts:
            with place.root.opened() as root:
                return _info(place, os.fstat(root), None)
        with entry(place) as (parent, name), translated(place.shown):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            target = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(status.st_mode) else None
            return _info(place, status, target)


def _refuse_binary(file: BinaryIO, place: Place) -> None:
    if b"\0" in file.read(_SNIFF_BYTES):
        raise Invalid("file.binary", f"{place.shown} is not a text file.", "Use read_binary_file.")
    file.seek(0)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """Lines, the very long ones in several pieces."""
    return iter(lambda: file.readline(_PIECE_BYTES), b"")


def _lines_from(file: BinaryIO, first: int, count: int, call: Call) -> tuple[bytes, int, bool]:
    """(text, complete or last lines in it, whether more follows)."""
    text = bytearray()
    number = 1
    for index, piece in enumerate(_pieces(file)):
        if index % 4096 == 0:
            call.step(number, message="reading")
        if number >= first + count:
            return bytes(text), count, True
        if number >= first:
            if len(text) + len(piece) > TEXT_BYTES_MAX:
                return _cut(text, piece, number - first)
            text += piece
        number += piece.endswith(b"\n")
    unfinished = bool(text) and not text.endswith(b"\n")
    return bytes(text), max(0, number - first) + unfinished, False


def _cut(text: bytearray, piece: bytes, lines: int) -> tuple[bytes, int, bool]:
    if not lines:  # one line is longer than the bound: give its beginning and go on behind it
        return bytes(text + piece)[:TEXT_BYTES_MAX], 1, True
    return bytes(text[: text.rfind(b"\n") + 1]), lines, True


def _last_lines(file: BinaryIO, count: int) -> tuple[bytes, int]:
    """The last `count` lines, read from the end backwards, within the bound."""
    position = file.seek(0, os.SEEK_END)
    text = b""
    while position and len(text) < TEXT_BYTES_MAX and text.count(b"\n", 0, -1) < count:
        step = min(_PIECE_BYTES, position)
        position -= step
        file.seek(position)
        text = file.read(step) + text
    lines = re.findall(rb"[^\n]*\n|[^\n]+", text)[-count:]
    return b"".join(lines)[-TEXT_BYTES_MAX:], len(lines)


def _page(place: Place, text: bytes, first: int | None, lines: int, size_bytes: int, following: int | None) -> TextPage:
    return TextPage(
        path=place.shown,
        text=text.decode(errors="replace"),
        first_line=first,
        lines=lines,
        size_bytes=size_bytes,
        next_line=following,
    )


def _info(place: Place, status: os.stat_result, target: str | None) -> Info:
    return Info(
        path=place.shown,
        kind=kind_of(status.st_mode),
        size_bytes=status.st_size,
        modified=rfc3339(status.st_mtime_ns),
        changed=rfc3339(status.st_ctime_ns),
        permissions=f"{stat.S_IMODE(status.st_mode):04o}",
        owner=status.st_uid,
        group=status.st_gid,
        target=None if target is None else shown(target),
    )
