"""The located tree: what JSONC, TOML and YAML have in common, each value with its place."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from garrison.catalog.notes import Notes, Place, brief
from garrison.catalog.problems import Problem, Severity

DEPTH_MAX = 64
SYNTAX_PROBLEMS_MAX = 50


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `raw` is how a number or truth value was written. No value in the repr: it may be a secret."""

    value: str | int | float | bool | None = field(repr=False)
    place: Place
    raw: str = field(default="", repr=False)

    @property
    def text(self) -> str:
        """The value as the text that an environment or an argument list would carry."""
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return "" if self.value is None else self.raw or str(self.value)


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value`; `place` is the key's."""

    key: str
    place: Place
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """Keys in their order; a key that was written twice is in it once, with its last value."""

    entries: tuple[Entry, ...]
    place: Place

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def get(self, key: str) -> Node | None:
        return next((entry.value for entry in self.entries if entry.key == key), None)

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(entry.key for entry in self.entries)


Node = Scalar | Listing | Table
Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """The documents of one file (most often one) and what was wrong with its syntax."""

    roots: tuple[Node, ...]
    problems: tuple[Problem, ...]


def plain(node: Node) -> Plain:
    """The same value without places."""
    if isinstance(node, Table):
        return {entry.key: plain(entry.value) for entry in node}
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return node.value


def unique(entries: list[Entry], notes: Notes, code: str, severity: Severity = "error") -> tuple[Entry, ...]:
    """One entry per key, the last one winning as in every client; each earlier one is reported."""
    last: dict[str, Entry] = {}
    for entry in entries:
        if (before := last.pop(entry.key, None)) is not None:
            message = f"the key {brief(entry.key)} is written twice; the first one (line {before.place.line}) is lost"
            notes.add(severity, code, message, "remove one of the two, or rename it", entry.place)
        last[entry.key] = entry
    return tuple(last.values())


class Places:
    """Turns offsets in a text into places."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        position = text.find("\n")
        while position >= 0:
            self._starts.append(position + 1)
            position = text.find("\n", position + 1)

    def at(self, offset: int) -> Place:
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)
