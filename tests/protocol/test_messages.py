from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from garrison.protocol.messages import (
    RpcError,
    decode_error,
    decode_message,
    encode,
    error_frame,
    is_error_response,
    members,
    notification_frame,
    params_of,
    raw,
    request_frame,
    result_frame,
    text,
)

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=4
)
IDS = st.integers(-(2**63), 2**63) | TEXT


@given(IDS, TEXT, st.dictionaries(TEXT, JSON))
def test_a_request_comes_back_as_it_was(own: Any, method: str, params: dict[str, Any]) -> None:
    message = decode_message(request_frame(own, method, {key: raw(value) for key, value in params.items()}))
    assert (message.id, message.method) == (own, method)
    assert {key: json.loads(bytes(value)) for key, value in params_of(message).items()} == params


@given(TEXT, JSON)
def test_a_notification_has_no_id(method: str, value: Any) -> None:
    message = decode_message(notification_frame(method, {"a": raw(value)}))
    assert message.id is UNSET
    assert message.method == method


@given(IDS, JSON, st.integers(-40000, 0), TEXT)
def test_responses_come_back_as_they_were(own: Any, content: Any, code: int, sentence: str) -> None:
    answer = decode_message(result_frame(json.dumps(own).encode(), raw(content)))
    assert answer.id == own
    assert json.loads(bytes(answer.result)) == content  # type: ignore[arg-type]
    refusal = decode_message(error_frame(b"null", RpcError(code, sentence, raw(content))))
    assert refusal.id is None
    assert is_error_response(error_frame(b"null", RpcError(code, sentence)))


def test_a_body_is_forwarded_as_it_came() -> None:
    odd = b'{ "a" :1.50e+01,\t"b":"\\u00e4\xc3\xa4" }'
    message = decode_message(b'{"jsonrpc":"2.0","id":1,"result":' + odd + b"}")
    assert message.result is not UNSET
    assert result_frame(b"1", message.result).endswith(odd + b"}")


def test_of_members_that_stand_twice_the_last_one_counts_and_only_it_is_sent() -> None:
    message = decode_message(b'{"jsonrpc":"2.0","id":1,"method":"a","method":"b","params":{"name":"x","name":"y"}}')
    frame = request_frame(1, str(message.method), params_of(message))
    assert message.method == "b"
    assert frame == b'{"jsonrpc":"2.0","id":1,"method":"b","params":{"name":"y"}}'


def test_names_are_case_sensitive() -> None:
    assert decode_message(b'{"jsonrpc":"2.0","Method":"x","ID":1}').method is UNSET


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"id":true}',
        b'{"id":1.5}',
        b'{"id":{}}',
        b'{"method":1}',
        b'{"result":NaN}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_message(data)


def test_parameters_that_are_no_object_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        params_of(decode_message(b'{"jsonrpc":"2.0","method":"x","params":[1]}'))


def test_a_text_is_read_only_where_there_is_one() -> None:
    params = members(b'{"a":"x\\n","b":1,"c":null}')
    assert [text(params, key) for key in "abcd"] == ["x\n", "", "", ""]


@pytest.mark.parametrize(
    "body",
    [b'{"error":"invalid_token"}', b'{"jsonrpc":"2.0","error":"x"}', b'{"error":{"code":1,"message":"m"}}', b"<html>",
     b'{"jsonrpc":"2.0","result":{}}', b'{"jsonrpc":"2.0","error":' + b"[" * 9000 + b"]" * 9000 + b"}", b"\xff"],
)  # fmt: skip
def test_an_error_of_somebody_else_is_no_json_rpc_error(body: bytes) -> None:
    assert not is_error_response(body)


def test_raw_parts_are_slices_that_outlive_their_message() -> None:
    found = members(Raw(b'{"a":[1,2]}'))["a"]
    assert bytes(found) == b"[1,2]"


@pytest.mark.parametrize("data", [b'{"uri":"test://x"}', b'"words"', b"[1]", b"0", b"null"])
def test_what_an_error_says_beyond_its_message_stays_as_it_came(data: bytes) -> None:
    error = decode_error(b'{"code":-32602,"message":"no","data":%s}' % data)
    assert bytes(error.data) == data  # type: ignore[arg-type]
    assert is_error_response(b'{"jsonrpc":"2.0","id":1,"error":%s}' % encode(error))


def test_an_error_without_data_stays_without() -> None:
    assert encode(decode_error(b'{"code":-32602,"message":"no"}')) == b'{"code":-32602,"message":"no"}'
