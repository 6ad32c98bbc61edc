"""JSON text with its escapes undone, and the way back: what is found in the one is replaced in the other.

So results need not be taken apart and written anew: whatever is not replaced stays as it came, byte for byte.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL
)
_SIMPLE: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_QUOTE: Final = re.compile(r'\\.|(")', re.DOTALL)


class Flat:
    """`text` is `raw` without escapes. `inside`: whether `raw` begins within a string."""

    def __init__(self, raw: str, *, inside: bool = False) -> None:
        self.raw = raw
        self._starts: list[int] = []
        """Where in `text` each undone escape stands, and where behind it `raw` goes on."""
        self._after: list[tuple[int, int]] = []
        self.text = self._undone(raw) if "\\" in raw else raw
        self._inside = inside
        self._quotes: list[int] | None = None

    def _undone(self, raw: str) -> str:
        parts: list[str] = []
        at = size = 0
        for escape in _ESCAPE.finditer(raw):
            parts += (raw[at : escape.start()], char := _char(escape[0]))
            size += escape.start() - at
            self._starts.append(size)
            size += len(char)
            at = escape.end()
            self._after.append((size, at))
        parts.append(raw[at:])
        return "".join(parts)

    def place(self, index: int) -> int:
        """Where in `raw` the character of `text` stands."""
        known = bisect_right(self._starts, index) - 1
        if known < 0:
            return index
        flat, raw = self._after[known]
        return raw + index - flat if index >= flat else raw - self._length(known)

    def _length(self, known: int) -> int:
        """How long that escape is in `raw`."""
        flat, raw = self._after[known - 1] if known else (0, 0)
        return self._after[known][1] - (raw + self._starts[known] - flat)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A stretch of `text` as one of `raw`."""
        first = self.place(start)
        return first, self.place(end) if end > start else first

    def within_string(self, start: int, end: int) -> tuple[int, int] | None:
        """A stretch of `raw`, cut where its string ends; None where it begins outside of one."""
        if self._quotes is None:
            self._quotes = [quote.start() for quote in _QUOTE.finditer(self.raw) if quote[1]]
        before = bisect_right(self._quotes, start - 1)
        if (before % 2 == 1) == self._inside:
            return None
        closing = self._quotes[before] if before < len(self._quotes) else end
        return start, min(end, closing)


def _char(escape: str) -> str:
    if escape[1] != "u":
        return _SIMPLE.get(escape[1], escape[1])
    if len(escape) > 6:
        return escape.encode("ascii").decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16")
    code = int.from_bytes(bytes.fromhex(escape[2:]))
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)


def pointer_at(raw: str, offset: int) -> str:
    """The JSON Pointer of the value or member name that stands at `offset`."""
    path: list[str | int] = []
    key = ""
    at = 0
    for token in _TOKEN.finditer(raw):
        if token.start() > offset:
            break
        at = token.end()
        mark = token[0]
        if mark[0] == '"':
            if path and isinstance(path[-1], str) and raw[at : at + 16].lstrip()[:1] == ":":
                key = mark[1:-1]
                path[-1] = key
        elif mark in "{[":
            path.append("" if mark == "{" else 0)
        elif mark in "}]":
            path.pop()
        elif mark == "," and path and isinstance(path[-1], int):
            path[-1] += 1
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')[:128]}" for part in path)


_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]', re.DOTALL)
