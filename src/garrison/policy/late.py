"""Expressions that are compiled when they are first looked for: a start needs few of the hundreds that there are."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator


class Late:
    """As much of `re.Pattern` as rules need. `pattern`: the expression's text."""

    __slots__ = ("_compiled", "_flags", "pattern")

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern = pattern
        self._flags = flags
        self._compiled: re.Pattern[str] | None = None

    def search(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        return (self._compiled or self._compile()).search(text, start, end)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        return (self._compiled or self._compile()).finditer(text)

    def _compile(self) -> re.Pattern[str]:
        self._compiled = re.compile(self.pattern, self._flags)
        return self._compiled
