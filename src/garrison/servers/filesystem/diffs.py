"""Exact replacements in a text, and the unified diff that shows them. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from garrison.kernel.errors import Conflict, Invalid

_FINE_DIFF_CELLS_MAX: Final = 4_000_000  # lines × lines; beyond this a fine diff takes seconds
_CONTEXT_LINES: Final = 3


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Replace `old` by `new`; `old` must occur exactly once, unless `all` is set."""

    old: Annotated[str, Meta(min_length=1, description="Text to be replaced, exactly as in the file.")]
    new: Annotated[str, Meta(description="Text to put there.")]
    all: Annotated[bool, Meta(description="Replace every occurrence.")] = False


def apply(text: str, edits: Sequence[Edit]) -> tuple[str, int]:
    """(the new text, number of replacements). All edits apply, in order, or none does."""
    total = 0
    for number, edit in enumerate(edits, 1):
        old, new = _as_in(text, edit)
        count = text.count(old)
        if count == 0:
            raise Conflict("edit.not_found", f"Edit {number}: the old text does not occur.", "Read the file again.")
        if count > 1 and not edit.all:
            raise Conflict(
                "edit.ambiguous", f"Edit {number}: the old text occurs {count} times.", "Give more of it, or set all."
            )
        text = text.replace(old, new)
        total += count
    return text, total


def _as_in(text: str, edit: Edit) -> tuple[str, str]:
    """With the line ends of a file that uses CRLF, when the edit was written with LF."""
    if "\r\n" in text and "\r" not in edit.old:
        return edit.old.replace("\n", "\r\n"), edit.new.replace("\r\n", "\n").replace("\n", "\r\n")
    return edit.old, edit.new


def unified(before: str, after: str, path: str) -> str:
    """The unified diff of two texts; empty when they are equal."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    skip = max(0, start - _CONTEXT_LINES)
    keep = max(0, end - _CONTEXT_LINES)
    window_old, window_new = old[skip : len(old) - keep], new[skip : len(new) - keep]
    if len(window_old) * len(window_new) > _FINE_DIFF_CELLS_MAX:
        raise Invalid("edit.too_wide", "The edits are too far apart for one diff.", "Make fewer edits at a time.")
    return "".join(_numbered(window_old, window_new, skip, path))


def _numbered(old: list[str], new: list[str], skip: int, path: str) -> list[str]:
    """A diff of two windows that begin behind `skip` equal lines, with line numbers of the whole."""
    lines = [f"--- {path}\n", f"+++ {path}\n"]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT_LINES):
        (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        before, after = _span(skip + old_start, old_end - old_start), _span(skip + new_start, new_end - new_start)
        lines.append(f"@@ -{before} +{after} @@\n")
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += _marked(" ", old[old_from:old_to])
            else:
                lines += _marked("-", old[old_from:old_to]) + _marked("+", new[new_from:new_to])
    return lines if len(lines) > len(("---", "+++")) else []


def _span(start: int, length: int) -> str:
    """A range as unified diffs write it: an empty one names the line before."""
    return f"{start + 1 if length else start},{length}"


def _marked(mark: str, lines: list[str]) -> list[str]:
    return [mark + (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n") for line in lines]


def _common(one: list[str], other: list[str]) -> int:
    """How many lines at the beginning are equal."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
