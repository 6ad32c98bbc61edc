"""Nothing that a stranger writes can begin a line, move a cursor or turn text around: in logs, tables, JSON, YAML."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from garrison.kernel.errors import Denied
from garrison.runtimes.serverlog import visible
from garrison.surfaces.cli import as_json, as_table, as_yaml, output
from garrison.telemetry import printable
from garrison.telemetry.logs import JsonFormatter

HOSTILE = [
    "\n",
    "\r",
    "\x1b[2J",
    "\x1b]8;;http://evil\x07",
    "\x9b31m",
    "\u2028",
    "\u2029",
    "\u202e",
    "\x00",
    "\x7f",
    "\x85",
    "\u200b",
    "\U000e0041",
    "\ufeff",
]
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8)), max_size=6).map("".join)


def is_one_harmless_line(text: str) -> bool:
    return text.isprintable()


@given(texts)
def test_one_line_is_one_line_whatever_it_holds(text: str) -> None:
    assert is_one_harmless_line(printable.one_line(text))


@given(st.text(alphabet=st.characters(exclude_categories=("C", "Z")), max_size=20))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable.one_line(text) == text


@given(texts)
def test_lines_keep_line_feeds_and_tabs_and_nothing_else_that_is_obeyed(text: str) -> None:
    shown = printable.lines(text)
    assert shown.count("\n") == text.count("\n")
    assert shown.replace("\n", "").replace("\t", "").isprintable()


@given(st.dictionaries(texts, texts, max_size=3))
def test_json_says_the_same_with_everything_hostile_escaped(value: dict[str, str]) -> None:
    document = as_json.render(value, ())
    assert json.loads(document) == value
    assert document.replace("\n", "").isprintable()
    assert document.count("\n") <= 1 + len(value)


@given(st.dictionaries(texts, texts, min_size=1, max_size=3))
def test_yaml_says_the_same_with_everything_hostile_escaped(value: dict[str, str]) -> None:
    document = as_yaml.render(value, ())
    assert document.replace("\n", "").isprintable()
    assert YAML(typ="safe", pure=True).load(io.StringIO(document)) == value


@given(texts, texts)
def test_a_table_has_as_many_lines_with_hostile_cells_as_with_plain_ones(name: str, value: str) -> None:
    rows: list[dict[str, Any]] = [{"name": name[:20], "detail": {value[:10]: [value[:20]]}}]
    document = as_table.render(rows, ("name", "detail"))
    assert document.replace("\n", "").isprintable()
    assert as_table.render({"name": name[:20], value[:10] or "x": value[:20]}, ()).replace("\n", "").isprintable()


@given(texts, texts)
def test_a_line_of_the_log_is_one_line_of_ascii(message: str, field: str) -> None:
    record = logging.LogRecord("garrison", logging.INFO, "", 0, "%s", (message,), None)
    record.__dict__[field or "field"] = message
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()


@given(texts)
def test_a_line_of_a_server_is_one_line(text: str) -> None:
    shown = visible(text.encode("utf-8", "surrogatepass").replace(b"\n", b""))
    assert shown.replace("\t", "").isprintable()


@given(texts)
def test_errors_and_remarks_drive_no_terminal(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        out, err = io.StringIO(), io.StringIO()
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        output.say(text)
        output.tell(text)
        output.tell_error(Denied("x.y", text, text))
    for written in (out, err):
        assert written.getvalue().replace("\n", "").replace("\t", "").isprintable()
