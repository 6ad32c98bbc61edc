"""Names that no rule can tell apart are decided once. Pure.

Rules look at names by few patterns. Which of them fit is a name's shape; where shapes are alike, so are the answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from typing import Any

from garrison.policy.rules import Json, Rule


@dataclass(frozen=True, slots=True)
class Shapes:
    """`exact`: whether names are only ever compared with patterns. `patterns`: compiled, each once."""

    exact: bool
    patterns: tuple[re.Pattern[str], ...]

    def of(self, name: str) -> str | bytes:
        """Equal for names that no rule tells apart; the name itself where that cannot be said."""
        if not self.exact:
            return name
        return bytes(pattern.match(name) is not None for pattern in self.patterns)


def shapes_of(rules: Iterable[Rule], odd: Iterable[str]) -> Shapes:
    """`odd`: patterns of grants that Cedar cannot express, which it is told the matches of."""
    found = [one for each in rules for one in _of_rule(each.policy)]
    texts = sorted({one for one in found if one is not None} | {translate(one) for one in odd})
    return Shapes(None not in found, tuple(re.compile(one) for one in texts))


def _of_rule(policy: Json) -> Iterator[str | None]:
    resource = policy["resource"]
    entity = resource.get("entity", resource.get("in", {}).get("entity"))
    if entity is not None and entity["type"] != "Server":
        yield None
    for condition in policy["conditions"]:
        yield from _of_expression(condition["body"])


def _of_expression(node: Any) -> Iterator[str | None]:
    """Regular expressions for what names are compared with; None for anything else that is done with them."""
    if isinstance(node, list):
        for one in node:
            yield from _of_expression(one)
    elif isinstance(node, dict):
        known = _compared(node)
        if known is not None:
            yield from known
        elif node.get("Var") == "resource":
            yield None
        elif _attribute(node) is not None:
            if _attribute(node) == "name":
                yield None
        elif "Value" not in node:
            for one in node.values():
                yield from _of_expression(one)


def _compared(node: Json) -> list[str] | None:
    if "like" in node and _attribute(node["like"]["left"]) == "name":
        parts = node["like"]["pattern"]
        return ["(?s:" + "".join(".*" if one == "Wildcard" else re.escape(one["Literal"]) for one in parts) + r")\Z"]
    if "==" in node:
        left, right = node["=="]["left"], node["=="]["right"]
        if _attribute(left) == "name" and isinstance(right.get("Value"), str):
            return [re.escape(right["Value"]) + r"\Z"]
    return None


def _attribute(node: Json) -> str | None:
    """The attribute of `resource` that this is."""
    inner = node.get(".")
    if isinstance(inner, dict) and inner.get("left") == {"Var": "resource"}:
        return str(inner["attr"])
    return None
