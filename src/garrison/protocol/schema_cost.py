"""What checking a value against a schema costs, before it is done: how often a subschema is applied to a place.

A few lines of `$ref` can ask for 2^30 applications, and the engine cannot be interrupted.
Keywords: JSON Schema 2020-12.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

APPLICATIONS_MAX = 60_000
"""Counting so many takes about a fifth of a second, the engine less."""
EXPANDED_MAX = 20_000
"""Bound of a schema's parts with every reference written out."""

_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLES = ("not", "if", "then", "else")
_EACH_MEMBER = ("additionalProperties", "unevaluatedProperties")
_EACH_ITEM = ("items", "contains", "additionalItems", "unevaluatedItems")


class TooCostly(Exception):
    """A verdict that travels up the recursion."""


def resolve(root: dict[str, Any], reference: str) -> Any:
    """The target of `#` or `#/a/b`; None for any other kind of reference and where nothing is."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    node: Any = root
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isascii() and key.isdecimal():
            node = node[int(key)] if int(key) < len(node) else None
        else:
            node = node.get(key) if isinstance(node, dict) else None
    return node


def is_flat(root: dict[str, Any]) -> bool:
    """Whether all references can be written out within the bound, so that no value can make checking costly."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: object) -> int:
        if not isinstance(node, dict | list):
            return 1
        if id(node) in open_:
            raise TooCostly
        if id(node) not in sizes:
            open_.add(id(node))
            sizes[id(node)] = 1 + sum(size(child) for child in _parts(root, node))
            open_.discard(id(node))
        if sizes[id(node)] > EXPANDED_MAX:
            raise TooCostly
        return sizes[id(node)]

    try:
        size(root)
    except (TooCostly, RecursionError):
        return False
    return True


def _parts(root: dict[str, Any], node: dict[str, Any] | list[Any]) -> Iterator[object]:
    if isinstance(node, list):
        yield from node
        return
    for key, child in node.items():
        if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(child, str):
            target = resolve(root, child)
            yield root if target is None else target  # an anchor may lead anywhere
        else:
            yield child


def affordable(root: dict[str, Any], value: object) -> bool:
    """Whether checking `value` stays within the bound."""
    try:
        _Estimate(root).cost(root, value)
    except (TooCostly, RecursionError):
        return False
    return True


class _Estimate:
    """Counts applications, each pair of subschema and place once; never too few."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}

    def cost(self, schema: object, value: object) -> int:
        if not isinstance(schema, dict):
            return 1
        pair = (id(schema), id(value))
        if pair not in self._known:
            self._known[pair] = 0  # meeting the same pair again below means going in a circle, which the engine ends
            total = 1 + sum(self.cost(part, place) for part, place in self._applied(schema, value))
            if "unevaluatedProperties" in schema or "unevaluatedItems" in schema:
                total *= 2  # what was evaluated is found out by evaluating again
            self._known[pair] = total
        if self._known[pair] > APPLICATIONS_MAX:
            raise TooCostly
        return self._known[pair]

    def _applied(self, schema: dict[str, Any], value: object) -> Iterator[tuple[object, object]]:
        for key, part in schema.items():
            if key in _LISTS and isinstance(part, list):
                yield from ((each, value) for each in part)
            elif key in _SINGLES:
                yield part, value
            elif key == "dependentSchemas" and isinstance(part, dict):
                yield from ((each, value) for each in part.values())
            elif key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(part, str):
                target = resolve(self._root, part)
                yield (self._root if target is None else target), value
            elif isinstance(value, dict):
                yield from _to_members(key, part, value)
            elif isinstance(value, list):
                yield from _to_items(key, part, value)


def _to_members(key: str, part: object, value: dict[str, Any]) -> Iterator[tuple[object, object]]:
    if key == "properties" and isinstance(part, dict):
        yield from ((part[name], value[name]) for name in part.keys() & value.keys())
    elif key == "patternProperties" and isinstance(part, dict):
        yield from ((each, member) for each in part.values() for member in value.values())
    elif key in _EACH_MEMBER:
        yield from ((part, member) for member in value.values())
    elif key == "propertyNames":
        yield from ((part, name) for name in value)


def _to_items(key: str, part: object, value: list[Any]) -> Iterator[tuple[object, object]]:
    if key == "prefixItems" or (key == "items" and isinstance(part, list)):
        yield from zip(part if isinstance(part, list) else (), value, strict=False)
    elif key in _EACH_ITEM:
        yield from ((part, item) for item in value)
