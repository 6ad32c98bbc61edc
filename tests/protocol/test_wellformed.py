"""Texts that two readers could take for two different things are refused; all others pass."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.protocol.messages import encode
from garrison.protocol.wellformed import DEPTH_MAX, NotStrict, flaw, folded, is_plain, read_object

NAMES = st.sampled_from(["a", "b", "a:b", 'a"', "ä", "name"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | NAMES
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))


class Pairs(list[tuple[str, Any]]):
    """An object as its members, repeated ones included."""


OBJECTS = st.lists(st.tuples(NAMES, LEAVES), max_size=4).map(Pairs)
TEXTS = st.recursive(
    LEAVES | OBJECTS, lambda inner: st.lists(inner, max_size=4) | st.tuples(NAMES, inner).map(lambda one: Pairs([one]))
)


def written(value: Any, gap: str, *, plain: bool) -> str:
    if isinstance(value, Pairs):
        members = (
            f"{json.dumps(name, ensure_ascii=plain)}{gap}:{written(one, gap, plain=plain)}" for name, one in value
        )
        return "{" + f"{gap},".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + f",{gap}".join(written(one, gap, plain=plain) for one in value) + "]"
    return json.dumps(value, ensure_ascii=plain)


def repeats(value: Any) -> bool:
    if isinstance(value, Pairs):
        return len({name for name, _ in value}) < len(value) or any(repeats(one) for _, one in value)
    return isinstance(value, list | tuple) and any(repeats(one) for one in value)


@given(TEXTS, st.sampled_from(["", " ", "\n\t"]), st.booleans(), st.booleans())
def test_a_repeated_member_is_found_however_it_is_written(value: Any, gap: str, plain: bool, spelt: bool) -> None:
    body = written(value, gap, plain=plain)
    if spelt:  # every colon inside a text by its number
        body = "".join(_spelt(part) if index % 2 else part for index, part in enumerate(_texts(body)))
    assert bool(flaw(body.encode("utf-8", "surrogatepass"))) == repeats(value)


def _texts(body: str) -> list[str]:
    """Alternately what is outside of texts and what is inside."""
    parts, inside, start = [], False, 0
    position = 0
    while position < len(body):
        if inside and body[position] == "\\":
            position += 1
        elif body[position] == '"':
            parts.append(body[start:position])
            start, inside = position, not inside
        position += 1
    return [*parts, body[start:]]


def _spelt(text: str) -> str:
    return text.replace(":", "\\u003a")


@given(VALUES)
def test_what_is_written_once_has_no_flaw(value: Any) -> None:
    body = encode(value)
    assert flaw(body) == ""
    if b"\\u003" not in body and body.count(b":") + body.count(b"[") < DEPTH_MAX:
        assert is_plain(body, body.count(b":"))


@pytest.mark.parametrize(("levels", "refused"), [(DEPTH_MAX, False), (DEPTH_MAX + 1, True), (900, True)])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"]":', b"}")])
def test_depth_is_counted_in_levels(opening: bytes, closing: bytes, levels: int, refused: bool) -> None:
    if opening.startswith(b"[{"):  # two levels at once
        closing, levels = closing + b"]", levels // 2 + levels % 2
    body = opening * levels + b"1" + closing * levels
    assert bool(flaw(body)) == refused
    assert not (refused and is_plain(body, body.count(b":")))


def test_what_is_wide_is_not_deep() -> None:
    assert flaw(encode([[{}] for _ in range(5000)])) == ""
    assert flaw(encode({"a": "[[[[{{{{" * 100})) == ""


def test_a_name_in_other_letters_is_found() -> None:
    known = frozenset({"name", "arguments"})
    assert folded(["name", "Arguments"], known) == "Arguments"
    assert folded(["name", "arguments", "other"], known) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"{} x",
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"x": NaN}',
        b'{"x": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b'{"x": "\xff"}',
        b'{"x": %s}' % (b"9" * 5000),
        b'{"x": %s%s}' % (b"[" * 20, b"]" * 20),
        b'{"x": %s%s}' % (b"[" * 5000, b"]" * 5000),
        b'{"x": "%s"}' % (b"x" * 200),
    ],
)
def test_an_object_that_readers_understand_differently_is_none(text: bytes) -> None:
    with pytest.raises(NotStrict):
        read_object(text, 100 if b"xxx" in text else 20_000, depth_max=16)


def test_an_object_is_read_as_it_stands() -> None:
    assert read_object(b'{"a": {"a": [1, "\\u00e9"]}}', 100) == {"a": {"a": [1, "\u00e9"]}}
