"""References are resolved in one pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.references import escape, names, resolve, resolve_spec
from garrison.catalog.spec import ServerSpec

ENV = {"A": "1", "EMPTY": "", "LOOKS": "${A}$$"}
SECRETS = {"x.y-z": "s3cret", "T": "${A}"}


@pytest.mark.parametrize(
    ("text", "expected", "missing"),
    [
        ("plain", "plain", ()),
        ("${A}-${A}", "1-1", ()),
        ("${NO}", "${NO}", ("NO",)),
        ("${NO}${NO}${secret:no}", "${NO}${NO}${secret:no}", ("NO", "secret:no")),
        ("${NO:-d}", "d", ()),
        ("${EMPTY:-d}", "d", ()),
        ("${EMPTY}", "", ()),
        ("${NO:-}", "", ()),
        ("${NO:-${A}}", "1", ()),
        ("${NO:-${NEITHER:-z}}", "z", ()),
        ("${A:-d}", "1", ()),
        ("${NO:-http://h:1/p?q=}", "http://h:1/p?q=", ()),
        ("$$", "$", ()),
        ("$${A}", "${A}", ()),
        ("$$$${A}", "$${A}", ()),
        ("$$${A}", "$1", ()),
        ("$A $ {A} ${} ${1}", "$A $ {A} ${} ${1}", ()),
        ("Bearer ${secret:x.y-z}", "Bearer s3cret", ()),
        ("${secret:T}${LOOKS}", "${A}${A}$$", ()),
    ],
)
def test_a_text_is_resolved(text: str, expected: str, missing: tuple[str, ...]) -> None:
    assert resolve(text, ENV, SECRETS.get) == (expected, missing)


@given(st.text(alphabet="${}:-Aab ") | st.text())
def test_an_escaped_text_means_itself(text: str) -> None:
    assert resolve(escape(text), {"A": "x", "a": "y"}, lambda _: "z") == (text, ())


@given(st.lists(st.text(alphabet="${}:-A ")))
def test_escaped_pieces_can_be_joined_with_references(pieces: list[str]) -> None:
    joined = "${A}".join(escape(piece) for piece in pieces)
    assert resolve(joined, {"A": "|"}, lambda _: None) == ("|".join(pieces), ())


def test_a_spec_is_resolved_in_every_field_and_every_missing_one_is_named() -> None:
    spec = ServerSpec(
        name="s",
        transport="stdio",
        command=("${A}", "${NO}"),
        env={"K": "${secret:T}", "L": "${secret:none}"},
        cwd="${A}/x",
    )
    resolved, problems = resolve_spec(spec, ENV, SECRETS.get)
    assert resolved.command == ("1", "${NO}")
    assert resolved.env["K"] == "${A}"
    assert resolved.cwd == "1/x"
    assert [problem.code for problem in problems] == ["variable.missing", "secret.missing"]
    assert "env L needs the secret `none`" in problems[1].message


def test_what_a_text_needs_can_be_asked() -> None:
    assert names("${A} ${B:-x} ${secret:c} $${D}") == (("A",), ("c",))
