from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared import inbound

from garrison.protocol.headers import decode_value, encode_value, param_headers

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
