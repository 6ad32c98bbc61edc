"""Schemas come from servers: whatever they say, checking costs little and reaches nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs import cost
from garrison.kernel.errors import Invalid
from garrison.protocol import schema_cost
from garrison.protocol.schema import Validator

COST_MAX = 100
"""In references of `costs.cost`, about half a second; what is hostile would take minutes."""


def text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def tree(depth: int) -> Any:
    return {"l": tree(depth - 1), "r": tree(depth - 1)} if depth else {}


def doubled(depth: int) -> dict[str, Any]:
    """2^depth applications in a few lines."""
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(depth)}
    return {"$defs": {**steps, f"a{depth}": {"type": "integer"}}, "$ref": "#/$defs/a0"}


AGAIN = {"properties": {"a": {"$ref": "#"}}, "required": ["a"], "type": "object"}
HOSTILE: dict[str, tuple[dict[str, Any], Any]] = {
    "nested quantifiers": (text("^(a+)+$"), "a" * 50_000 + "b"),
    "nested quantifiers and a back reference": (text(r"^(a+)+\1$"), "a" * 50_000 + "b"),
    "look-ahead over a long text": (text(r"(?=.*x)(.*)*y"), "a" * 200_000),
    "a repeated repetition": (text("^(a{1,1000}){1,1000}$"), "a" * 1000),
    "repeated letters of all scripts": (text(r"(\p{L}{1,500}){1,500}"), "a" * 1000),
    "many costly patterns": (
        {"properties": {f"p{n}": text(rf"(\p{{L}}{{1,500}}){{1,{n}}}") for n in range(1, 90)}}, {}
    ),
    "many costly patterns under odd names": (
        {"$defs": {f"d{n}": {"properties": {"enum": text(rf"(\p{{L}}{{1,{n}}})x")}} for n in range(1, 120)}}, {}
    ),
    "a pattern of a megabyte": (text("|".join("a" * n for n in range(1500))), "b"),
    "many names by pattern": ({"patternProperties": {f"(a+)+{n}$": {} for n in range(500)}}, {"a" * 5000: 1}),
    "a large enumeration": ({"enum": [f"v{n}" for n in range(9000)]}, "nope"),
    "an enumeration of objects": ({"enum": [{"a": n} for n in range(4500)]}, {"a": -1}),
    "unique items": ({"type": "array", "uniqueItems": True}, [{"a": n} for n in range(20_000)]),
    "many branches": ({"oneOf": [{"properties": {f"p{n}": {"type": "string"}}} for n in range(1500)]}, {}),
    "many dependent schemas": (
        {"dependentSchemas": {f"k{n}": {"required": ["z"]} for n in range(1500)}},
        {f"k{n}": 1 for n in range(1500)},
    ),
    "references that double 16 times": (doubled(16), 1),
    "references that double 30 times": (doubled(30), "x"),
    "recursion in two branches": ({"anyOf": [AGAIN, {**AGAIN, "required": ["a", "b"]}]}, nested(60)),
    "a reference to itself": ({"$ref": "#"}, 1),
    "two references in a circle": ({"$ref": "#/not", "not": {"$ref": "#/if"}, "if": {"$ref": "#/not"}}, 1),
    "itself among others": ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, 1),
    "a dynamic reference to itself": ({"$dynamicAnchor": "x", "allOf": [{"$dynamicRef": "#x"}]}, 1),
    "a reference to nowhere": ({"$ref": "#/$defs/none"}, 1),
    "deep nesting": ({"not": nested(5000)}, 1),
    "a deep value": ({"properties": {"a": {"$ref": "#"}}}, nested(900)),
    "numbers out of range": ({"multipleOf": 1e-300, "minimum": -1e308}, 1e300),
    "a limit out of range": ({"minLength": 10**30}, "x"),
    "unevaluated members": (
        {"unevaluatedProperties": False, "allOf": [{"properties": {f"p{n}": True}} for n in range(1500)]},
        {f"p{n}": 1 for n in range(1500)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_costs_little(name: str) -> None:
    schema, value = HOSTILE[name]
    for step in steps(schema, value):
        assert cost(step, COST_MAX) < COST_MAX


def steps(schema: dict[str, Any], value: Any) -> list[Callable[[], object]]:
    """Compiling, checking, explaining: only what can be compiled can be checked."""
    assert cost(lambda: compiled(schema), COST_MAX) < COST_MAX
    validator = compiled(schema)
    if isinstance(validator, Invalid):
        assert validator.code.startswith("schema.")
        assert len(validator.message) < 400
        return []
    return [lambda: validator.is_valid(value), lambda: validator.problems(value)]


def compiled(schema: dict[str, Any]) -> Validator | Invalid:
    try:
        return Validator(schema)
    except Invalid as error:
        return error


@pytest.mark.parametrize("word", ["$ref", "$dynamicRef", "$recursiveRef", "$schema", "$id"])
@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
def test_nothing_is_ever_fetched(word: str, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.02)
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/schema"
        for schema in ({word: url}, {"properties": {"a": {word: url}}}, {"$id": url, "$ref": "other.json"}):
            for step in steps(schema, {"a": 1}):
                step()
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "reference", ["file:///etc/passwd", "http://127.0.0.1:1/x", "other.json", "urn:x", "//h/x", "#/$defs/none", "#none"]
)
def test_a_reference_out_of_the_schema_is_refused(reference: str) -> None:
    with pytest.raises(Invalid) as caught:
        Validator({"properties": {"a": {"$ref": reference}}})
    assert caught.value.code == "schema.invalid"


@pytest.mark.parametrize("schema", [{"type": "banana"}, {"required": "a"}, {"pattern": "("}, {"$schema": "urn:mine"}])
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        Validator(schema)
    assert caught.value.code == "schema.invalid"


def test_a_schema_that_is_too_large_or_deep_is_refused() -> None:
    for schema in ({"enum": list(range(30_000))}, {"not": nested(100)}):
        with pytest.raises(Invalid) as caught:
            Validator(schema)
        assert caught.value.code == "schema.too_large"


ADD = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}


def test_problems_name_the_place_and_are_few_and_short() -> None:
    validator = Validator({"type": "array", "items": ADD})
    problems = validator.problems([{"a": "x" * 5000, "b": 1}] + [{}] * 20)
    assert len(problems) == 5
    assert problems[0].startswith("0/a: ")
    assert all(len(problem) < 450 for problem in problems)
    assert Validator(ADD).problems({"a": 1}) == ['arguments: "b" is a required property']
    assert Validator(ADD).problems({"a": 1, "b": 2}) == []


def test_a_large_value_is_explained_by_its_first_problem() -> None:
    validator = Validator({"type": "array", "items": ADD})
    assert len(validator.problems([{}] * 100_000)) == 1


def test_the_place_of_a_problem_is_not_repeated_at_length_either() -> None:
    (problem,) = Validator({"additionalProperties": {"type": "string"}}).problems({"k" * 5000: 1})
    assert len(problem) < 450


def test_a_pattern_that_needs_backtracking_is_left_to_the_server_and_the_rest_is_checked() -> None:
    schema = {"properties": {"mail": {"type": "string", "pattern": r"^(?!\.).+@.+$"}, "pattern": {"type": "integer"}}}
    validator = Validator(schema)
    assert validator.is_valid({"mail": ".no", "pattern": 1})
    assert not validator.is_valid({"mail": 1})
    assert not validator.is_valid({"pattern": "(?!x)"})
    assert not Validator({"const": {"pattern": "(?!x)"}}).is_valid({})
    assert Validator({"properties": {"default": {"pattern": "(?!x)x"}}}).is_valid({"default": "x"})


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"$defs": {"n": {"properties": {"l": {"$ref": "#/$defs/n"}, "r": {"$ref": "#/$defs/n"}}, "type": "object"}},
          "$ref": "#/$defs/n"}, tree(9), {"l": {"r": 1}}),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#"}}]}, [["a", ["b"]]] * 500, [[1]]),
        ({"items": {"$ref": "#/$defs/a~1b"}, "$defs": {"a/b": {"type": "integer"}}}, list(range(5000)), ["x"]),
        ({"allOf": [{"$ref": "#/prefixItems/0"}], "prefixItems": [{"type": "array"}]}, [[]], [1]),
    ],
)  # fmt: skip
def test_honest_recursion_is_checked_as_ever(schema: dict[str, Any], good: Any, bad: Any) -> None:
    validator = Validator(schema)
    assert validator.is_valid(good)
    assert not validator.is_valid(bad)
    assert validator.problems(bad)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
LEAVES = st.sampled_from(
    [True, {"type": "integer"}, {"type": "object"}, {"maxLength": 1}, {"$ref": "#"}, {"$ref": "#/$defs/d"}]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2)})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"items": inner, "additionalProperties": inner})
    ),
    max_leaves=5,
).filter(lambda schema: isinstance(schema, dict))


@given(SCHEMAS, JSON)
def test_the_budget_never_changes_a_small_verdict(schema: Any, value: Any) -> None:
    whole = {**schema, "$defs": {"d": {"type": "string"}}}
    plain = jsonschema_rs.validator_for(whole)
    assert Validator(whole).is_valid(value) == plain.is_valid(value)
    assert bool(Validator(whole).problems(value)) == (not plain.is_valid(value))


def test_references_are_followed_as_pointers_say() -> None:
    root = {"a": [{"x/y": 1}], "~": {"b": 2}}
    assert schema_cost.resolve(root, "#") is root
    assert schema_cost.resolve(root, "#/a/0/x~1y") == 1
    assert schema_cost.resolve(root, "#/~0/b") == 2
    assert [schema_cost.resolve(root, each) for each in ("#/a/7", "#/none/x", "#x", "http://h/#/a")] == [None] * 4
