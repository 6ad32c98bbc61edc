"""What screening found: a category, a kind and a place, never the value."""

from __future__ import annotations

from typing import NamedTuple

from garrison.catalog.screening import Category


class Stretch(NamedTuple):
    """A stretch of a text, and what it is."""

    start: int
    end: int
    category: Category
    kind: str


class Screened(NamedTuple):
    """One finding: its code is `screen.secrets.github-token`; `place` is a JSON Pointer, or `@` and a byte's number."""

    code: str
    place: str
    action: str
