"""Text of strangers, made harmless for a terminal, a log or a table: what would be obeyed is shown instead.

Control characters (C0, DEL, C1), ANSI sequences with their ESC, line and paragraph separators, marks of text direction,
zero-width characters, tags and lone surrogates become `\\x1b`, `\\u202e`, `\\U000e0041`. What is shown cannot be told
from the same characters typed, which does not matter for reading.
"""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"[^\x20-\x7e]")


def one_line(text: str) -> str:
    """The text without anything that is not printable; an ordinary text comes back as it is."""
    return text if text.isprintable() else _ESCAPES.sub(_shown, text)


def lines(text: str) -> str:
    """The same, but line feeds and tabs stay: for what may have several lines."""
    return "\n".join("\t".join(one_line(part) for part in line.split("\t")) for line in text.split("\n"))


def is_harmless(text: str) -> bool:
    """Whether there is nothing in it, but for line feeds, that `lines` would show instead."""
    return text.replace("\n", "").isprintable()


def in_json(document: str) -> str:
    """A JSON document with every such character inside its strings escaped as JSON has it; layout is left alone."""
    return _ESCAPES.sub(_escaped, document)


def _shown(match: re.Match[str]) -> str:
    char = match[0]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char.isprintable() or char == "\n":
        return char
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
