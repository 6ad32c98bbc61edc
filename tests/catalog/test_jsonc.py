"""JSON as people write it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs import cost
from garrison.catalog.parse.jsonc import parse_jsonc
from garrison.catalog.parse.tree import Table, plain

COST_MAX = 500
"""In references of `costs.cost`, a few seconds; what is not linear takes minutes."""

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(VALUES.filter(lambda value: isinstance(value, dict | list)))
def test_strict_json_is_read_as_the_standard_reader_does(value: object) -> None:
    for indent in (None, 2):
        parsed = parse_jsonc(json.dumps(value, indent=indent))
        assert not parsed.problems
        assert [plain(root) for root in parsed.roots] == [value]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, // remark\n "b": [2,],}',
        '/* head */ {"a": /* in between */ 1, "b": [2]}',
        '{\r\n\t"a": 1,\r\n\t"b": [2]\r\n}\r\n',
        '\ufeff{"a": 1, "b": [2]}',
        '{"a": 1, "b": [2] /**/ } // the end',
    ],
)
def test_comments_trailing_commas_and_windows_line_ends_are_no_problem(text: str) -> None:
    parsed = parse_jsonc(text)
    assert not parsed.problems
    assert plain(parsed.roots[0]) == {"a": 1, "b": [2]}


def test_slashes_inside_texts_are_no_comments() -> None:
    parsed = parse_jsonc('{"url": "https://a/*b*/c//d"}')
    assert plain(parsed.roots[0]) == {"url": "https://a/*b*/c//d"}


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "value"),
    [
        ('{"a": 1\n "b": 2}', "json.no_comma", 2, 2, {"a": 1, "b": 2}),
        ('{"a" 1}', "json.no_colon", 1, 6, {"a": 1}),
        ('{"a": }', "json.no_value", 1, 7, {"a": None}),
        ('{"a": 1,, "b": 2}', "json.stray", 1, 9, {"a": 1, "b": 2}),
        ("{'a': 1}", "json.quotes", 1, 2, {"a": 1}),
        ("{a: 1}", "json.bare_key", 1, 2, {"a": 1}),
        ('{"a": True}', "json.word", 1, 7, {"a": True}),
        ('{"a": None}', "json.word", 1, 7, {"a": None}),
        ('{"a": word}', "json.word", 1, 7, {"a": "word"}),
        ('{"a": NaN}', "json.word", 1, 7, {"a": "NaN"}),
        ('{"a": 01}', "json.word", 1, 7, {"a": "01"}),
        ('{"a": 1e999}', "json.number", 1, 7, {"a": None}),
        ('{"a": "b\n}', "json.unclosed_text", 1, 7, {"a": "b"}),
        ('{"a": "C:\\Users"}', "json.escape", 1, 10, {"a": "C:\\Users"}),
        ('{"a": "\\ud800"}', "json.surrogate", 1, 7, {"a": "\ufffd"}),
        ('{"a": [1, 2}', "json.bracket", 1, 12, {"a": [1, 2]}),
        ('{"a": {"b": 1}', "json.unclosed", 1, 1, {"a": {"b": 1}}),
        ('{"a": 1} }', "json.stray", 1, 10, {"a": 1}),
        ('{"a": 1} /* never', "json.unclosed", 1, 10, {"a": 1}),
        ('"a": {"b": 1}', "json.no_braces", 1, 1, {"a": {"b": 1}}),
        ('```json\n{"a": 1}', "json.stray", 1, 1, {"a": 1}),
        ('{\n# remark\n"a": 1}', "json.hash_comment", 2, 1, {"a": 1}),
        ('{\n<<<<<<< HEAD\n"a": 1}', "json.merge_conflict", 2, 1, {"a": 1}),
        ('{"a": 1, "a": 2}', "json.duplicate_key", 1, 10, {"a": 2}),
    ],
)
def test_a_mistake_is_named_at_its_place_and_the_rest_is_read(
    text: str, code: str, line: int, column: int, value: object
) -> None:
    parsed = parse_jsonc(text)
    assert [(problem.code, problem.line, problem.column) for problem in parsed.problems][:1] == [(code, line, column)]
    assert plain(parsed.roots[0]) == value
    assert all(problem.hint for problem in parsed.problems)
    assert parsed.problems[0].severity == ("warning" if code == "json.duplicate_key" else "error")


def test_several_mistakes_are_reported_in_one_go() -> None:
    parsed = parse_jsonc('{"a": 1 "b": tru,\n "c": [1 2],\n d: "x"}')
    assert [problem.line for problem in parsed.problems] == [1, 1, 2, 3]


def test_two_documents_in_one_file_are_both_read() -> None:
    parsed = parse_jsonc('{"a": 1}\n{"b": 2}\n')
    assert [plain(root) for root in parsed.roots] == [{"a": 1}, {"b": 2}]
    assert [(problem.code, problem.line) for problem in parsed.problems] == [("json.second_document", 2)]


@pytest.mark.parametrize("text", ["", "  \n", "// only a remark\n", "\ufeff"])
def test_an_empty_file_is_said_to_be_empty(text: str) -> None:
    parsed = parse_jsonc(text)
    assert parsed.roots == ()
    assert [problem.code for problem in parsed.problems] == ["file.empty"]


def test_values_know_their_line_and_column() -> None:
    root = parse_jsonc('{\n  "a": 1,\n  "b": {"c": "x"}\n}').roots[0]
    assert isinstance(root, Table)
    b = root.entries[1]
    assert (b.place.line, b.place.column) == (3, 3)
    assert (b.value.place.line, b.value.place.column) == (3, 8)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 30_000,
        '{"a":' * 10_000,
        '"\\' * 20_000,
        "{" + '"\\"' * 20_000,
        "/*" * 20_000,
        "{" + ",," * 20_000,
        "'\"" * 20_000,
        "[" * 65 + '"\\"' * 30_000,
        "[1 " * 10_000,
        "}" * 40_000,
        "{]" * 20_000,
        "<" * 40_000,
        "#\n" * 20_000,
    ],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    assert len(parse_jsonc(text).problems) <= 50
    assert cost(lambda: parse_jsonc(text), COST_MAX) < COST_MAX
