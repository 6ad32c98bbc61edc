# ruff: noqa: E501 (tables read better on one line)
"""Schemas and arguments that somebody made to be costly: refused, or judged for next to nothing; nothing is fetched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from costs import cost
from garrison.kernel.errors import Invalid
from garrison.protocol.schema import Validator

AFFORDABLE = 30.0
"""References, of some milliseconds each: far below 250 ms on any machine."""


def fan(keyword: str, depth: int) -> dict[str, Any]:
    """Ten times the next one, `depth` times over."""
    found: dict[str, Any] = {f"d{at}": {keyword: [{"$ref": f"#/$defs/d{at + 1}"}] * 10} for at in range(depth)}
    return {"$defs": {**found, f"d{depth}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def nested(opening: str, middle: str, closing: str, depth: int) -> Any:
    return json.loads(opening * depth + middle + closing * depth)


def shared(depth: int) -> dict[str, Any]:
    """Small as an object, and of astronomical size when it is written out."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value, "b": value}
    return value


BOMBS: dict[str, tuple[Any, Any]] = {
    "allOf of allOf": (fan("allOf", 8), "x"),
    "anyOf of anyOf": (fan("anyOf", 8), 1),
    "oneOf of oneOf": (fan("oneOf", 8), 1),
    "itself": ({"$ref": "#"}, {}),
    "a circle": ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, {}),
    "itself twice": ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {}),
    "itself in items": ({"anyOf": [{"items": {"$ref": "#"}}] * 8}, nested("[", "1", "]", 40)),
    "itself in members": ({"anyOf": [{"additionalProperties": {"$ref": "#"}}] * 6}, nested('{"x":', "1", "}", 40)),
    "$dynamicRef": ({"$dynamicAnchor": "n", "anyOf": [{"items": {"$dynamicRef": "#n"}}] * 8}, nested("[", "1", "]", 30)),
    "$recursiveRef": (
        {
            "$schema": "https://json-schema.org/draft/2019-09/schema",
            "$recursiveAnchor": True,
            "anyOf": [{"items": {"$recursiveRef": "#"}}] * 8,
        },
        nested("[", "1", "]", 30),
    ),
    "a huge enum": ({"enum": [f"value {number}" for number in range(20_000)]}, "x"),
    "nested quantifiers": ({"pattern": "^(a+)+$"}, "a" * 50_000 + "!"),
    "alternatives": ({"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}, "a" * 50_000),
    "look-ahead": ({"pattern": "^(?=(a+)+$)a*!$"}, "a" * 40 + "b"),
    "back reference": ({"pattern": "(a*)*\\1b"}, "a" * 40),
    "repetitions of repetitions": ({"pattern": "(a{1000}){1000}"}, "a" * 1000),
    "repetitions of classes": ({"pattern": "(\\p{L}{100}){100}"}, "a" * 1000),
    "many patterns": (
        {"patternProperties": {f"^(a|b|c){{1,{at + 1}}}{at}$": {"type": "string"} for at in range(900)}},
        {f"a{at}": 1 for at in range(2000)},
    ),
    "patternProperties of patternProperties": (
        {"patternProperties": {f"a{at}": {"patternProperties": {f"b{it}": {} for it in range(20)}} for at in range(40)}},
        {f"a{at}": {f"b{it}": 1 for it in range(20)} for at in range(40)},
    ),
    "unevaluatedProperties of itself": (
        {"properties": {"x": {"$ref": "#"}}, "anyOf": [{"properties": {"y": {"$ref": "#"}}}] * 4, "unevaluatedProperties": False},
        nested('{"x":', "1", "}", 30),
    ),
    "unevaluatedProperties, nested": (
        nested('{"unevaluatedProperties":', "{}", "}", 25), nested('{"x":', "1", "}", 40),
    ),
    "a deep schema": (nested('{"properties":{"a":', "{}", "}}", 200), {}),
    "a deep value": ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, nested("[", "1", "]", 200)),
    "a value that shares": ({"additionalProperties": {"$ref": "#"}}, shared(30)),
    "if of if": (
        {
            "if": {"$ref": "#/$defs/a"},
            "then": {"$ref": "#/$defs/a"},
            "$defs": {"a": {"if": {"items": {"$ref": "#"}}, "then": {"items": {"$ref": "#"}}, "else": {"items": {"$ref": "#"}}}},
        },
        nested("[", "1", "]", 25),
    ),
    "contains of contains": ({"contains": {"contains": {"contains": {"const": 1}}}}, [[[0] * 20] * 20] * 20),
    "uniqueItems": ({"uniqueItems": True}, [{"a": number} for number in range(10_000)]),
    "dependentSchemas": (
        {"dependentSchemas": {f"k{at}": {"$ref": "#"} for at in range(40)}}, {f"k{at}": 1 for at in range(40)},
    ),
    "multipleOf": ({"multipleOf": 1e-300}, 1e300),
    "a huge integer": ({"maximum": 10**300}, 10**4000),
    "propertyNames": (
        {"propertyNames": {"anyOf": [{"pattern": f"x{at}$"} for at in range(100)]}}, {f"k{at}": 1 for at in range(5_000)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_next_to_nothing_or_is_refused(name: str) -> None:
    schema, value = BOMBS[name]

    def judge() -> None:
        try:
            validator = Validator(schema)
        except Invalid:
            return
        if not validator.is_valid(value):
            validator.problems(value)

    assert cost(judge, AFFORDABLE) < AFFORDABLE


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$id": "https://example.com/x", "$ref": "other.json"},
        {"$schema": "https://example.com/dialect"},
        {"properties": {"a": {"$dynamicRef": "http://169.254.169.254/x#a"}}},
    ],
)
def test_nothing_is_fetched_and_unknown_dialects_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        Validator(schema)
    assert refusal.value.code == "schema.invalid"
