"""Large results read in pieces: wherever they are cut, the same is read as of the whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.errors import Invalid
from garrison.protocol import outline
from garrison.protocol.large import LargeResult
from garrison.protocol.messages import encode
from garrison.protocol.outline import Outline

texts = st.text(alphabet=st.sampled_from('ab"\\{}[]:,é\n\U0001f600'), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | texts | texts.map(lambda text: text * 30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts | st.sampled_from(["isError", "content"]), values, max_size=5)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=30)


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    found, number = [], 0
    while data:
        size = sizes[number % len(sizes)]
        found.append(data[:size])
        data, number = data[size:], number + 1
    return found


def emptied(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return type(value)()
    return "" if isinstance(value, str) and len(inside(value)) > outline.STRING_BYTES_MAX else value


def inside(text: str) -> bytes:
    return encode(text)[1:-1]


@given(objects, cuts, st.sampled_from([3, 7, 64, 16384]), st.binary(max_size=5))
def test_an_outline_is_the_object_with_its_nested_values_emptied(
    found: dict[str, Any], sizes: list[int], block: int, rest: bytes
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outline, "BLOCK_BYTES", block)
        read, size, data = Outline(), 0, encode(found)
        for piece in pieces_of(data, sizes):
            assert not read.complete
            size += read.feed(piece)
    assert (read.complete, size) == (True, len(data))
    expected = {"" if len(inside(key)) > outline.STRING_BYTES_MAX else key: emptied(own) for key, own in found.items()}
    assert json.loads(bytes(read.text)) == expected


@given(st.binary(max_size=200), cuts)
def test_no_bytes_are_too_strange_for_an_outline(data: bytes, sizes: list[int]) -> None:
    read = Outline()
    try:
        for piece in pieces_of(b"{" + data, sizes):
            if read.complete:
                break
            assert read.feed(piece) <= len(piece)
    except Invalid:
        pass


FRONTS = ['{"jsonrpc":"2.0","id":7,"result":', '{"id":"7", "jsonrpc" : "2.0", "result": ', ' {"result":']
BACKS = ["}", " }\n", ',"_meta":{}}', ',"jsonrpc":"2.0","id":7}']


@given(objects, cuts, st.sampled_from(FRONTS), st.sampled_from(BACKS), st.sampled_from([None, True, False]))
def test_a_result_is_found_wherever_it_is_cut(
    found: dict[str, Any], sizes: list[int], front: str, back: str, is_error: bool | None
) -> None:
    result = {**found, **({} if is_error is None else {"isError": is_error})}
    if is_error is None:
        result.pop("isError", None)
    whole = front.encode() + encode(result) + back.encode()
    large = LargeResult.of(whole[:64], 7)
    assert large is not None
    passed = b"".join(large.feed(piece) for piece in pieces_of(whole[large.begins_at :], sizes))
    assert passed == encode(result)
    if "jsonrpc" in front + back:
        assert large.end() is bool(is_error)
    else:
        with pytest.raises(Invalid):
            large.end()


@pytest.mark.parametrize(
    "first",
    [
        b'{"jsonrpc":"2.0","id":8,"result":{}}',
        b'{"jsonrpc":"2.0","id":7,"error":{}}',
        b'{"jsonrpc":"2.0","id":7,"result":[]}',
        b'[{"jsonrpc":"2.0","id":7,"result":{}}]',
        b'{"jsonrpc":"1.0","id":7,"result":{}}',
        b"",
    ],
)
def test_what_does_not_begin_like_our_result_is_not_passed_on(first: bytes) -> None:
    assert LargeResult.of(first, 7) is None


@pytest.mark.parametrize(
    "rest",
    [
        b'{"a":1',
        b"{}",
        b'{},"id":8}',
        b'{},"error":{"code":1,"message":""}}',
        b'{},"method":"x"}',
        b'{},"result":{}}',
        b"{}}{}",
        b'{"a":"\xff"}}',
        b'{"isError":"yes"}}',
        b'{"a":]}}',
        b"{}" + b" " * 5000 + b"}",
        b"{" + b",".join(b'"%d":1' % number for number in range(4000)) + b"}}",
    ],
)
def test_what_is_no_whole_result_is_found_out_at_the_end(rest: bytes) -> None:
    large = LargeResult.of(b'{"jsonrpc":"2.0","id":7,"result":{', 7)
    assert large is not None
    with pytest.raises(Invalid):
        feed_and_end(large, rest)


def feed_and_end(large: LargeResult, rest: bytes) -> None:
    large.feed(rest)
    large.end()
