"""TOML with places: the values come from `tomllib`, the places from a scan of our own (TOML 1.0).

`tomllib` stops at the first mistake; the line at fault is left out and the rest read again, a few times.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from garrison.catalog.notes import Notes, Place
from garrison.catalog.parse.toml_places import Path, scan
from garrison.catalog.parse.tree import (
    DEPTH_MAX,
    SYNTAX_PROBLEMS_MAX,
    Entry,
    Listing,
    Node,
    Parsed,
    Places,
    Scalar,
    Table,
)

_RETRIES = 6
_LONG_KEY = re.compile(r"(?<![\w.-])(?:[\w-]++[ \t]*+\.[ \t]*+){100}")
"""Dotted keys cost `tomllib` the square of their length."""
_WHERE = re.compile(r"^(.*?)\s*\(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)


def parse_toml(text: str) -> Parsed:
    """The document (one, always), and its mistakes."""
    notes = Notes(limit=SYNTAX_PROBLEMS_MAX)
    if not text.strip():
        notes.add("error", "file.empty", "the file is empty", "nothing is declared in it", Place())
        return Parsed((), notes.all)
    values, repaired = _values(text, notes)
    return Parsed((_located(values, (), scan(repaired), Place(1, 1)),), notes.all)


def _values(text: str, notes: Notes) -> tuple[dict[str, Any], str]:
    """What `tomllib` reads, and the text without the lines that it could not read."""
    if match := _LONG_KEY.search(text):
        place = Places(text).at(match.start())
        notes.add("error", "toml.depth", "a key has more than 100 parts", "simplify the file", place)
        return {}, ""
    for _ in range(_RETRIES):
        try:
            return tomllib.loads(text), text
        except tomllib.TOMLDecodeError as error:
            place = _report(str(error), text, notes)
        except (ValueError, RecursionError):  # tomllib's own limits: digits of a number, nesting
            notes.add("error", "toml.depth", "a value is nested too deeply or too long", "simplify the file", Place())
            return {}, ""
        lines = text.split("\n")
        lines[place.line - 1] = ""
        text = "\n".join(lines)
    return _readable_start(text)


def _readable_start(text: str) -> tuple[dict[str, Any], str]:
    """The longest run of whole tables from the start that can be read."""
    heads = [match.start() for match in re.finditer(r"^\[", text, re.MULTILINE)]
    best: tuple[dict[str, Any], str] = ({}, "")
    low, high = 0, len(heads)
    while low < high:
        middle = (low + high) // 2
        try:
            best = (tomllib.loads(text[: heads[middle]]), text[: heads[middle]])
            low = middle + 1
        except (ValueError, RecursionError):
            high = middle
    return best


def _report(message: str, text: str, notes: Notes) -> Place:
    match = _WHERE.match(message)
    what = match[1] if match else message
    last = Places(text).at(len(text.rstrip("\n")))
    line, column = (int(match[2]), int(match[3])) if match and match[2] else (last.line, last.column)
    lines = text.split("\n")
    line = min(line, len(lines))
    place = Place(line, min(column, len(lines[line - 1]) + 1))
    quoted = re.search(r"'[^']*'", what)
    hint = "the line is left out" if not quoted else 'texts stand in quotes: key = "value"; the line is left out'
    notes.add("error", "toml.syntax", f"not TOML: {what[:1].lower()}{what[1:100]}", hint, place)
    return place


def _located(value: Any, path: Path, places: dict[Path, tuple[Place, Place]], near: Place) -> Node:
    """`near` is the place of what encloses the value, for values that the scan has not seen."""
    place = places.get(path, (near, near))[1]
    if len(path) > DEPTH_MAX:
        return Scalar(None, place)
    if isinstance(value, dict):
        return Table(tuple(_entry(key, value[key], (*path, key), places, place) for key in value), place)
    if isinstance(value, list):
        return Listing(tuple(_located(item, (*path, i), places, place) for i, item in enumerate(value)), place)
    if isinstance(value, str | int | float):
        return Scalar(value, place, "" if isinstance(value, str) else str(value).lower())
    return Scalar(str(value), place)  # dates and times


def _entry(key: str, value: Any, path: Path, places: dict[Path, tuple[Place, Place]], near: Place) -> Entry:
    return Entry(key, places.get(path, (near, near))[0], _located(value, path, places, near))
