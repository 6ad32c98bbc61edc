"""Collects problems while a file is read: places, severities, one prefix per server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import msgspec

from garrison.catalog.problems import Problem, Severity

PROBLEMS_MAX = 2000
"""Beyond these a file teaches nobody anything more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, both from 1; 0 means the whole file."""

    line: int = 0
    column: int = 0


WHOLE_FILE = Place()
_STRETCH = re.compile(r"[A-Za-z0-9]{16,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Notes:
    """`about` is put before each message: the server that is meant."""

    def __init__(self, file: str = "", limit: int = PROBLEMS_MAX) -> None:
        self.file = file
        self._limit = limit
        self._about = ""
        self._found: list[Problem] = []
        self._by_name: dict[str, list[Problem]] = {}
        self._name = ""

    def about(self, name: str) -> Notes:
        """The same collection, for problems of one server."""
        view = Notes(self.file, self._limit)
        view._found, view._by_name, view._name = self._found, self._by_name, name
        view._about = f"{safe(name)}: "
        return view

    def add(self, severity: Severity, code: str, message: str, hint: str, place: Place) -> None:
        if len(self._found) >= self._limit:
            return
        problem = Problem(
            severity=severity,
            code=code,
            message=self._about + message,
            hint=hint,
            file=self.file,
            line=place.line,
            column=place.column,
        )
        self._found.append(problem)
        if self._name:
            self._by_name.setdefault(self._name, []).append(problem)

    def error(self, code: str, message: str, hint: str, place: Place) -> None:
        self.add("error", code, message, hint, place)

    def warn(self, code: str, message: str, hint: str, place: Place) -> None:
        self.add("warning", code, message, hint, place)

    def note(self, code: str, message: str, hint: str, place: Place) -> None:
        self.add("note", code, message, hint, place)

    def put(self, problem: Problem) -> None:
        """A problem found elsewhere, that now belongs to this file."""
        self._found.append(msgspec.structs.replace(problem, file=self.file))

    def remarks(self, name: str) -> tuple[Problem, ...]:
        """What was said about one server."""
        return tuple(self._by_name.get(name, ()))

    @property
    def all(self) -> tuple[Problem, ...]:
        """In the order of the file."""
        return tuple(sorted(self._found, key=lambda problem: (problem.line, problem.column)))


def safe(text: str, limit: int = 60) -> str:
    """A name from a file, fit for a message: on one line, never long, and never what could be a secret."""
    if looks_random(text):
        return "(a long random text)"
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else "�" for char in short)


def brief(text: str) -> str:
    """The same, quoted."""
    return f"`{safe(text)}`"


def looks_random(text: str) -> bool:
    """Is some stretch of the text long and of the kind that generators make? Names made of words are not."""
    return _UUID.search(text) is not None or any(map(_mixed, _STRETCH.findall(text)))


def _mixed(stretch: str) -> bool:
    digits = sum(char.isdigit() for char in stretch)
    return digits >= 3 and len(stretch) - digits >= 3


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` or nothing."""
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""
