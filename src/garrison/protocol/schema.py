"""JSON Schema validators for tool input and output: compiled once, offline, with budgets.

Schemas come from servers, so they are untrusted: their size and depth are bounded, nothing is ever fetched
(2026-07-28: a network `$ref` is never dereferenced), patterns run on an engine that never backtracks, and a value that
would be costly to check is refused. A pattern that needs backtracking (look-around, back reference) is left out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import jsonschema_rs

from garrison.kernel.errors import Invalid
from garrison.protocol import schema_cost
from garrison.protocol.messages import encode

SCHEMA_DEPTH_MAX = 64
SCHEMA_NODES_MAX = 10_000
PATTERN_CHARS_MAX = 10_000
PATTERNS_CPU_S_MAX = 0.06
"""Compiling a short pattern can take 20 ms; many of them are cut off here (processor time, not waiting)."""
PROBLEMS_MAX = 5
SURVEY_MAX = 1_000_000
"""Schema parts × bytes of the value: above it only the first problem is looked for, because each costs a copy."""
_PROBLEM_CHARS_MAX = 200
_MASK = "the value"
"""Stands for values in sentences about them: those go into logs and the ledger, and a value may be a secret."""
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1_000_000)
_BACKTRACKS = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]|\\k<")
_DATA = frozenset({"const", "enum", "default", "examples"})
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})


class Validator:
    """One compiled schema."""

    __slots__ = ("_compiled", "_parts", "_schema", "is_valid")

    def __init__(self, schema: dict[str, Any]) -> None:
        """Raises `Invalid` (`schema.*`) when the schema is too large, not valid, or refers to the network."""
        self._parts = _check_budget(schema)
        self._schema: dict[str, Any] = _without_backtracking(schema)
        _check_patterns(self._schema)
        try:
            self._compiled = jsonschema_rs.validator_for(
                self._schema, retriever=_refuse, pattern_options=_PATTERNS, mask=_MASK
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise Invalid("schema.invalid", f"the schema cannot be used: {_short(str(error))}") from error
        flat = schema_cost.is_flat(self._schema)
        self.is_valid = self._compiled.is_valid if flat else self._is_valid_and_affordable

    def problems(self, value: object) -> list[str]:
        """What is wrong with `value`: up to five sentences, each with the place, none with a value."""
        if self.is_valid == self._is_valid_and_affordable and not schema_cost.affordable(self._schema, value):
            return ["arguments: nested too deeply to be checked against the schema"]
        return [_sentence(error) for error in self._errors(value)[:PROBLEMS_MAX]]

    def _errors(self, value: object) -> list[jsonschema_rs.ValidationError]:
        if self._parts * len(encode(value)) <= SURVEY_MAX:
            return list(self._compiled.iter_errors(value))
        try:
            self._compiled.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [error]
        return []

    def _is_valid_and_affordable(self, value: object) -> bool:
        return schema_cost.affordable(self._schema, value) and self._compiled.is_valid(value)


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    place = "/".join(str(part) for part in error.instance_path) or "arguments"
    return f"{_short(place)}: {_short(error.message)}"


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"schemas are never fetched: {uri[:100]}")


def _short(message: str) -> str:
    first = message.split("\n", 1)[0]
    return first if len(first) <= _PROBLEM_CHARS_MAX else first[:_PROBLEM_CHARS_MAX] + "…"


def _check_budget(schema: object) -> int:
    """How many parts the schema has."""
    nodes = 0
    stack: list[tuple[object, int]] = [(schema, 0)]
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if depth > SCHEMA_DEPTH_MAX or nodes > SCHEMA_NODES_MAX:
            raise Invalid(
                "schema.too_large", f"the schema is deeper than {SCHEMA_DEPTH_MAX} or has over {SCHEMA_NODES_MAX} parts"
            )
        if isinstance(node, dict):
            stack.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            stack.extend((child, depth + 1) for child in node)
    return nodes


def _without_backtracking(node: Any, *, named: bool = False) -> Any:
    """The schema without patterns that only a backtracking engine can match; the server checks those itself.

    `named`: the keys of `node` are names that somebody chose, not keywords.
    """
    if isinstance(node, list):
        return [_without_backtracking(child) for child in node]
    if not isinstance(node, dict):
        return node
    if named:
        return {name: _without_backtracking(child) for name, child in node.items()}
    return {
        key: child if key in _DATA else _without_backtracking(child, named=key in _NAMED)
        for key, child in node.items()
        if not (key == "pattern" and isinstance(child, str) and _BACKTRACKS.search(child))
    }


def _patterns(node: object, *, named: bool = False) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _patterns(child)
    elif isinstance(node, dict):
        for key, child in node.items():
            if key == "pattern" and isinstance(child, str):
                yield child
            elif key == "patternProperties" and isinstance(child, dict):
                yield from child
            if named or key not in _DATA:
                yield from _patterns(child, named=not named and key in _NAMED)


def _check_patterns(schema: object) -> None:
    """Compile each pattern by itself, within a budget for all. Raises `Invalid`."""
    started = time.thread_time()
    for pattern in _patterns(schema):
        if len(pattern) > PATTERN_CHARS_MAX or time.thread_time() - started > PATTERNS_CPU_S_MAX:
            raise Invalid("schema.too_large", "the patterns of the schema are too many or too large")
        try:
            jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=_PATTERNS)
        except (jsonschema_rs.ValidationError, ValueError):
            raise Invalid("schema.invalid", f"the schema's pattern {pattern[:100]!r} cannot be used") from None
