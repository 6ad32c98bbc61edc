"""Bytes to text: byte order marks, UTF-16 from Windows tools, stray bytes, too much of everything."""

from __future__ import annotations

import codecs

from garrison.catalog.notes import Notes, Place
from garrison.catalog.parse.tree import Places
from garrison.catalog.problems import Problem

SIZE_BYTES_MAX = 4 * 1024 * 1024
"""No configuration written by hand comes near; anything larger is some other file."""

_WIDE = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def decode(data: bytes) -> tuple[str, tuple[Problem, ...]]:
    """The file's text, without its byte order mark; empty if it is too large."""
    notes = Notes()
    if len(data) > SIZE_BYTES_MAX:
        message = f"the file is larger than {SIZE_BYTES_MAX // 1024 // 1024} MiB"
        notes.add("error", "file.too_large", message, "is it really a configuration file?", Place())
        return "", notes.all
    for mark, encoding in _WIDE:
        if data.startswith(mark):
            hint = "save it as UTF-8: other clients may not read it"
            notes.add("warning", "file.utf16", "the file is written in UTF-16", hint, Place(1, 1))
            return data[len(mark) :].decode(encoding, errors="replace"), notes.all
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8"), notes.all
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", errors="replace")
        place = Places(text).at(len(data[: error.start].decode("utf-8")))
        message = f"byte 0x{data[error.start]:02x} is not valid UTF-8"
        notes.add("error", "file.encoding", message, "save the file as UTF-8", place)
        return text, notes.all
