"""JSON Schema validators for tool input and output: compiled once, offline, with budgets.

Schemas come from servers, so they are untrusted: their size and depth are bounded, nothing is ever fetched
(2026-07-28: a network `$ref` is never dereferenced), and a pattern that backtracks is cut short.
"""

from __future__ import annotations

from typing import Any, NoReturn

import jsonschema_rs

from garrison.kernel.errors import Invalid

SCHEMA_DEPTH_MAX = 64
SCHEMA_NODES_MAX = 20_000
PROBLEMS_MAX = 5
_PROBLEM_CHARS_MAX = 200
_BACKTRACK_LIMIT = 10_000


class Validator:
    """One compiled schema."""

    __slots__ = ("_compiled", "is_valid")

    def __init__(self, schema: dict[str, Any]) -> None:
        """Raises `Invalid` (`schema.*`) when the schema is too large, not valid, or refers to the network."""
        _check_budget(schema)
        try:
            self._compiled = jsonschema_rs.validator_for(
                schema,
                retriever=_refuse,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK_LIMIT),
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise Invalid("schema.invalid", f"the schema cannot be used: {_short(str(error))}") from error
        self.is_valid = self._compiled.is_valid

    def problems(self, value: object) -> list[str]:
        """What is wrong with `value`: up to five sentences, each with the place; values are not repeated at length."""
        found = []
        for error in self._compiled.iter_errors(value):
            place = "/".join(str(part) for part in error.instance_path) or "arguments"
            found.append(f"{place}: {_short(error.message)}")
            if len(found) == PROBLEMS_MAX:
                break
        return found


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"schemas are never fetched: {uri[:100]}")


def _short(message: str) -> str:
    first = message.split("\n", 1)[0]
    return first if len(first) <= _PROBLEM_CHARS_MAX else first[:_PROBLEM_CHARS_MAX] + "…"


def _check_budget(schema: object) -> None:
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
