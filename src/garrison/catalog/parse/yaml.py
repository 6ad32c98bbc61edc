"""YAML 1.2 with places, composed by ruamel and turned into the located tree.

ruamel stops at the first mistake; the line at fault is left out and the rest composed again, a few times.
Aliases are followed within a budget, so that a small file cannot become a large tree.
"""

from __future__ import annotations

import math
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from garrison.catalog.notes import Notes, Place
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
    unique,
)

_RETRIES = 6
_NODES_MAX = 50_000
_SIZE_MAX = 256 * 1024
_TAG = "tag:yaml.org,2002:"
_DIGITS_MAX = 300
_BRACKETS = re.compile(r"[\[\]{}]")
_BRACKETS_MAX = 200
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.2, 5.1
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def parse_yaml(text: str) -> Parsed:
    """Every document of the text (`---` separates them), and its mistakes."""
    notes = Notes(limit=SYNTAX_PROBLEMS_MAX)
    if len(text) > _SIZE_MAX:
        notes.add("error", "file.too_large", "too long for a YAML configuration", "at most 256 KiB", Place())
        return Parsed((), notes.all)
    text = _UNPRINTABLE.sub(" ", text)
    if (place := _too_many_brackets(text)) is not None:
        notes.add("error", "yaml.depth", "too many open brackets", "simplify the file", place)
        return Parsed((), notes.all)
    build = _Build(notes)
    composed = [root for root in _compose(text, notes) if root is not None]
    roots = tuple(build.node(root, 0) for root in composed)
    if not roots and not notes.all:
        notes.add("error", "file.empty", "the file is empty", "nothing is declared in it", Place())
    if len(roots) > 1:
        hint = "a file can hold one: merge them, or remove the line ---"
        notes.add("error", "yaml.second_document", "a second document begins here", hint, _place(composed[1]))
    return Parsed(roots, notes.all)


def _too_many_brackets(text: str) -> Place | None:
    """Where the open brackets pass a bound: ruamel's scanner costs the square of their number."""
    level = 0
    for match in _BRACKETS.finditer(text):
        level = level + 1 if match[0] in "[{" else max(0, level - 1)
        if level > _BRACKETS_MAX:
            return Places(text).at(match.start())
    return None


def _compose(text: str, notes: Notes) -> list[Any]:
    for _ in range(_RETRIES):
        try:
            return list(YAML(typ="safe", pure=True).compose_all(text))
        except MarkedYAMLError as error:
            line = _report(error, text, notes)
        except (YAMLError, RecursionError, ValueError, AttributeError, TypeError, IndexError, AssertionError):
            # ruamel itself gives up on some broken texts with these
            notes.add("error", "yaml.syntax", "not YAML", "check the file with an editor that knows YAML", Place())
            return []
        lines = text.split("\n")
        lines[line - 1] = ""
        text = "\n".join(lines)
    return []


def _report(error: MarkedYAMLError, text: str, notes: Notes) -> int:
    """Notes the mistake; gives the line to leave out."""
    mark = error.problem_mark or error.context_mark
    lines = text.split("\n")
    line = min(mark.line + 1 if mark else 1, len(lines))
    while line > 1 and not lines[line - 1].strip():
        line -= 1
    column = min(mark.column + 1 if mark else 1, len(lines[line - 1]) + 1)
    what = " ".join(_QUOTED.sub(_short, str(error.problem or error.context or "the text cannot be read")).split())
    hint = "check indentation, colons and quotes here; the line is left out"
    if "\\t" in what:
        what, hint = "a tab indents this line", "YAML is indented with spaces"
    elif what.startswith("mapping values are not allowed"):
        what, hint = "a colon where none can be", "indent by the same number of spaces, or put the text into quotes"
    notes.add("error", "yaml.syntax", f"not YAML: {what[:120]}", hint, Place(line, column))
    return line


def _short(quoted: re.Match[str]) -> str:
    """Characters of the syntax are shown, words of the file are not: they could be anything."""
    content = quoted[1] or quoted[2] or ""
    return quoted[0] if len(content) <= 2 or content.startswith("<") else "…"


class _Build:
    """Composed nodes to the located tree."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._left = _NODES_MAX

    def node(self, node: Any, depth: int) -> Node:
        self._left -= 1
        if self._left < 0 or depth > DEPTH_MAX:
            if self._left >= -1 or depth > DEPTH_MAX:
                self._notes.add(
                    "error", "yaml.depth", "nested too deeply, or aliases grow too large", "simplify it", _place(node)
                )
            return Scalar(None, _place(node))
        if isinstance(node, MappingNode):
            return Table(unique(self._entries(node, depth), self._notes, "yaml.duplicate_key"), _place(node))
        if isinstance(node, SequenceNode):
            items: list[Node] = []
            for item in node.value:
                if self._left < 0:
                    break
                items.append(self.node(item, depth + 1))
            return Listing(tuple(items), _place(node))
        return self._scalar(node)

    def _entries(self, node: MappingNode, depth: int) -> list[Entry]:
        entries: list[Entry] = []
        merged: list[Entry] = []
        for key, value in node.value:
            if self._left < 0:
                break
            if not isinstance(key, ScalarNode):
                self._notes.add("error", "yaml.key", "a key must be a single text", "remove it", _place(key))
                continue
            child = self.node(value, depth + 1)
            if key.tag == _TAG + "merge" or key.value == "<<":
                merged += _merged(child)
            else:
                entries.append(Entry(str(key.value), _place(key), child))
        own = {entry.key for entry in entries}
        seen: set[str] = set()
        for entry in merged:
            if entry.key not in own | seen:
                entries.append(entry)
                seen.add(entry.key)
        return entries

    def _scalar(self, node: ScalarNode) -> Scalar:
        place, raw = _place(node), str(node.value)
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "null":
            return Scalar(None, place, "")
        if kind == "bool":
            return Scalar(raw.lower() == "true", place, raw)
        if kind in ("int", "float") and len(raw) <= _DIGITS_MAX:
            return Scalar(_number(raw, kind), place, raw)
        return Scalar(raw, place)


def _number(raw: str, kind: str) -> str | int | float:
    """The number, or the text when it has no finite value."""
    digits = raw.replace("_", "")
    try:
        if kind == "int":
            based = digits.lstrip("+-")[:2].lower() in ("0x", "0o", "0b")
            return int(digits, 0) if based else int(digits)
        return float(digits) if math.isfinite(float(digits)) else raw
    except ValueError:
        return raw


def _merged(node: Node) -> list[Entry]:
    if isinstance(node, Table):
        return list(node.entries)
    if isinstance(node, Listing):
        return [entry for item in node.items if isinstance(item, Table) for entry in item]
    return []


def _place(node: Any) -> Place:
    mark = node.start_mark
    return Place(mark.line + 1, mark.column + 1)
