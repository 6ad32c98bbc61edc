"""Filters, compiled: what passes all of them. Pure."""

from __future__ import annotations

import re
from fnmatch import translate

from garrison.catalog.shown_names import Listed
from garrison.catalog.spec import Filter, ServerSpec


class Sieve:
    """`is_open`: everything passes, so that nobody need ask. Patterns are case-sensitive; `*` matches `/` as well."""

    __slots__ = ("_parts", "is_open")

    def __init__(self, *filters: Filter) -> None:
        closed = [one for one in filters if "*" not in one.allow or one.deny]
        self._parts = [(_any_of(one.allow), _any_of(one.deny)) for one in closed]
        self.is_open = not closed

    def passes(self, name: str) -> bool:
        return all(allow.match(name) and not deny.match(name) for allow, deny in self._parts)


def sieves_of(spec: ServerSpec) -> dict[Listed, Sieve]:
    """A server's own filters, for each kind of thing that it lists."""
    return {"tool": Sieve(spec.tools), "prompt": Sieve(spec.prompts), "resource": Sieve(spec.resources)}


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all shell-style patterns; without any it matches nothing."""
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns) or "(?!)")
