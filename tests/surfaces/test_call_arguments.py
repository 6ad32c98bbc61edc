"""`garrison call`: words become arguments as the tool's schema wants them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import Tool, ToolAnnotations

from garrison.kernel.errors import Invalid
from garrison.surfaces.cli.call import read_arguments
from garrison.surfaces.cli.verifying import is_harmless

PROPERTIES = {
    "path": {"type": "string"},
    "count": {"type": "integer"},
    "deep": {"type": "object"},
    "loud": {"type": "boolean"},
    "either": {"type": ["string", "null"]},
}
TOOL = Tool(name="t", input_schema={"type": "object", "properties": PROPERTIES})


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ([], {}),
        (['{"path": "a", "n": 1}'], {"path": "a", "n": 1}),
        (["path=123", "count=123"], {"path": "123", "count": 123}),
        (["path=a=b", "path2="], {"path": "a=b", "path2": ""}),
        (['deep={"a": [1]}', "loud=true"], {"deep": {"a": [1]}, "loud": True}),
        (["path:=7", "either:=null", "either2=null"], {"path": 7, "either": None, "either2": "null"}),
    ],
)
def test_words_become_arguments(words: list[str], arguments: dict[str, Any]) -> None:
    assert read_arguments(words, TOOL) == arguments


@pytest.mark.parametrize("words", [["path"], ["=x"], ["count=many"], ["{broken"], ["path:=x"]])
def test_what_is_neither_is_said_so(words: list[str]) -> None:
    with pytest.raises(Invalid):
        read_arguments(words, TOOL)


@given(st.lists(st.text(), max_size=3))
def test_any_words_are_arguments_or_a_typed_error(words: list[str]) -> None:
    try:
        assert isinstance(read_arguments(words, TOOL), dict)
    except Invalid:
        return


def tool(read_only: bool | None = True, open_world: bool | None = None, **schema: Any) -> Tool:
    notes = ToolAnnotations(read_only_hint=read_only, open_world_hint=open_world)
    return Tool(name="t", input_schema={"type": "object", **schema}, annotations=notes)


def test_only_what_reads_here_and_needs_nothing_is_called_unasked() -> None:
    assert is_harmless(tool())
    assert is_harmless(tool(properties={"zone": {"type": "string"}}))
    assert not is_harmless(tool(required=["zone"]))
    assert not is_harmless(tool(read_only=False))
    assert not is_harmless(tool(read_only=None))
    assert not is_harmless(tool(open_world=True))
    assert not is_harmless(Tool(name="t", input_schema={"type": "object"}))
