"""Where each key and value of a valid TOML text stands. The values themselves are `tomllib`'s business."""

from __future__ import annotations

import re

from garrison.catalog.notes import Place
from garrison.catalog.parse.tree import DEPTH_MAX, Places

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_INLINE_BLANK = re.compile(r"[ \t]+")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TEXTS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"""+', re.DOTALL),
    re.compile(r"'''.*?'''+", re.DOTALL),
    re.compile(r'"((?:[^"\\\n]|\\.)*)"'),
    re.compile(r"'([^'\n]*)'"),
)
_OTHER = re.compile(r"[^,\]}\n#]+")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_CONTROL = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


def scan(text: str) -> dict[Path, tuple[Place, Place]]:
    """For each path its key's and its value's place."""
    return _Scan(text).run()


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._places = Places(text)
        self._found: dict[Path, tuple[Place, Place]] = {}
        self._counts: dict[Path, int] = {}

    def run(self) -> dict[Path, tuple[Place, Place]]:
        table: Path = ()
        while self._skip(_BLANK) or self._at < len(self._text):
            start = self._at
            if self._text.startswith("[", self._at):
                table = self._header()
            elif self._at < len(self._text):
                self._pair(table, 0)
            if self._at == start and self._at < len(self._text):
                self._at += 1  # not TOML; keep moving
        return self._found

    def _header(self) -> Path:
        place = self._places.at(self._at)
        many = self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        table = self._inside(self._keys())
        self._at += 2 if many else 1
        if many:
            index = self._counts.get(table, 0)
            self._counts[table] = index + 1
            self._found.setdefault(table, (place, place))
            table = (*table, index)
        self._found[table] = (place, place)
        for depth in range(1, min(len(table), DEPTH_MAX)):
            self._found.setdefault(table[:depth], (place, place))
        return table

    def _inside(self, keys: list[str]) -> Path:
        """A header's path, with the last index of each array of tables on the way."""
        path: Path = ()
        for position, key in enumerate(keys):
            path = (*path, key)
            if path in self._counts and position < len(keys) - 1:
                path = (*path, self._counts[path] - 1)
        return path

    def _pair(self, table: Path, depth: int) -> None:
        place = self._places.at(self._at)
        path: Path = (*table, *self._keys())
        self._skip(_INLINE_BLANK)
        if self._text.startswith("=", self._at):
            self._at += 1
        self._skip(_INLINE_BLANK)
        value = self._places.at(self._at)
        for length in range(len(table) + 1, min(len(path), DEPTH_MAX)):
            self._found.setdefault(path[:length], (place, place))
        self._found[path] = (place, value)
        self._value(path, depth)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_INLINE_BLANK)
            if match := _BARE.match(self._text, self._at):
                keys.append(match[0])
            elif match := _TEXTS[2].match(self._text, self._at):
                keys.append(_ESCAPE.sub(_unescaped, match[1]))
            elif match := _TEXTS[3].match(self._text, self._at):
                keys.append(match[1])
            else:
                return keys
            self._at = match.end()
            self._skip(_INLINE_BLANK)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, path: Path, depth: int) -> None:
        if self._text.startswith("[", self._at) and depth < DEPTH_MAX:
            self._array(path, depth)
        elif self._text.startswith("{", self._at) and depth < DEPTH_MAX:
            self._inline_table(path, depth)
        else:
            for pattern in (*_TEXTS, _OTHER):
                if match := pattern.match(self._text, self._at):
                    self._at = match.end()
                    return

    def _array(self, path: Path, depth: int) -> None:
        self._at += 1
        index = 0
        while self._more("]"):
            place = self._places.at(self._at)
            self._found[(*path, index)] = (place, place)
            self._value((*path, index), depth + 1)
            index += 1

    def _inline_table(self, path: Path, depth: int) -> None:
        self._at += 1
        while self._more("}"):
            self._pair(path, depth + 1)

    def _more(self, closing: str) -> bool:
        self._skip(_BLANK)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip(_BLANK)
        if self._text.startswith(closing, self._at):
            self._at += 1
            return False
        return self._at < len(self._text)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match is not None


def _unescaped(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    if digits:
        return chr(min(int(digits, 16), 0x10FFFF))
    return _CONTROL.get(match[3], match[3])
