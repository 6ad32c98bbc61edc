from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared import inbound

from garrison.protocol.headers import decode_value, encode_value, header_flaw, param_headers

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)
TRICKY = TEXT | st.sampled_from(
    ["", " ", " a", "a ", "a\r\nX: y", "=?base64?YQ==?=", "=?base64?!?=", "=?BASE64?YQ==?="]
)


@given(TRICKY)
def test_every_value_comes_back_as_it_was_and_fits_into_a_header(value: str) -> None:
    sent = encode_value(value)
    assert decode_value(sent) == value
    assert re.fullmatch(r"[\x20-\x7e]*", sent)
    assert sent == sent.strip()


@given(TRICKY | st.from_regex(r"=\?base64\?[A-Za-z0-9+/=!]{0,8}\?=", fullmatch=True))
def test_the_official_codec_agrees(value: str) -> None:
    assert inbound.decode_header_value(encode_value(value)) == value
    assert decode_value(value) == inbound.decode_header_value(value)


@pytest.mark.parametrize("payload", ["YQ", "YR==", "Y Q==", "YQ=", "/w==", "!!!!", "=", "ä"])
def test_malformed_wrapping_can_never_match(payload: str) -> None:
    assert decode_value(f"=?base64?{payload}?=") is None


SCHEMA = {
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
        "dry": {"type": "boolean", "x-mcp-header": "Dry-Run"},
        "bad": {"type": "string", "x-mcp-header": "a b\r\nX"},
    }
}


@given(TEXT, st.integers(-(2**60), 2**60), st.booleans())
def test_parameters_go_out_as_the_official_client_would_send_them(region: str, count: int, dry: bool) -> None:
    arguments: dict[str, Any] = {"region": region, "deep": {"count": count}, "dry": dry, "bad": "x"}
    wanted = inbound.mcp_param_headers(
        {("region",): "region", ("deep", "count"): "count", ("dry",): "dry-run"}, arguments
    )
    assert param_headers(SCHEMA, arguments) == {name.lower(): value for name, value in wanted.items()}


@pytest.mark.parametrize("arguments", [{}, {"region": None}, {"region": ["x"]}, {"deep": 1}, {"deep": {}}])
def test_what_is_absent_or_no_scalar_has_no_header(arguments: dict[str, Any]) -> None:
    assert param_headers(SCHEMA, arguments) == {}


def test_a_schema_that_goes_on_for_ever_is_read_to_a_bound() -> None:
    schema: dict[str, Any] = {"x-mcp-header": "Deep"}
    for _ in range(5000):
        schema = {"properties": {"a": schema}}
    assert param_headers(schema, {}) == {}
    assert param_headers("nonsense", {}) == {}


PLAIN = {"type": "string", "x-mcp-header": "Region"}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (None, ""),
        (
            {"properties": {"a": PLAIN, "b": {"type": "object", "properties": {"c": {**PLAIN, "x-mcp-header": "C"}}}}},
            "",
        ),
        ({"default": {"x-mcp-header": 1}, "properties": {"x-mcp-header": {"type": "string"}}}, ""),
        ({"properties": {"a": {**PLAIN, "x-mcp-header": ""}}}, "x-mcp-header of 'a' is no name for a header"),
        (
            {"properties": {"a": {**PLAIN, "x-mcp-header": "R\u00e9gion"}}},
            "x-mcp-header of 'a' is no name for a header",
        ),
        ({"properties": {"a": {**PLAIN, "x-mcp-header": 7}}}, "x-mcp-header of 'a' is no name for a header"),
        (
            {"properties": {"\u00e4": {**PLAIN, "type": "number"}}},
            "x-mcp-header of '\\xe4' is not on a string, integer or boolean",
        ),
        (
            {"properties": {"a": {**PLAIN, "type": ["string", "null"]}}},
            "x-mcp-header of 'a' is not on a string, integer or boolean",
        ),
        ({"properties": {"a": {"items": PLAIN}}}, "x-mcp-header stands where no property is"),
        ({"x-mcp-header": "Root"}, "x-mcp-header stands where no property is"),
    ],
)
def test_marks_that_no_client_may_follow_have_a_flaw(schema: object, why: str) -> None:
    assert header_flaw(schema) == why


def test_two_marks_of_one_name_are_a_flaw_in_any_case() -> None:
    schema = {"properties": {"a": PLAIN, "b": {**PLAIN, "x-mcp-header": "REGION"}}}
    assert "another property's too" in header_flaw(schema)


MARKS = st.sampled_from(["Region", "region", "Dry-Run", "a b", "", "Count\t1", 7, None])
KINDS = st.sampled_from(["string", "integer", "boolean", "number", "object", "null", ["string"], None])
SCHEMAS = st.recursive(
    st.fixed_dictionaries({}, optional={"type": KINDS, "x-mcp-header": MARKS, "default": st.just({"x-mcp-header": 1})}),
    lambda inner: st.fixed_dictionaries(
        {"type": KINDS},
        optional={
            "properties": st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
            "items": inner,
            "anyOf": st.lists(inner, max_size=2),
            "$defs": st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
            "x-mcp-header": MARKS,
        },
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_the_official_client_drops_the_same_tools(schema: dict[str, Any]) -> None:
    assert bool(header_flaw(schema)) == (inbound.find_invalid_x_mcp_header(schema) is not None)
