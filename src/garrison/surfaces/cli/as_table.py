"""Results as tables for people."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from garrison.surfaces.cli.output import coloured
from garrison.telemetry.printable import one_line

STYLES = {
    "running": "green",
    "ok": "green",
    "starting": "yellow",
    "backoff": "yellow",
    "draining": "yellow",
    "auth-needed": "yellow",
    "fatal": "red",
    "exited": "red",
    "error": "red",
}
UNITS = ("s", "ms", "us", "bytes")
NARROWEST = 100
"""Columns of a table that is not shown on a terminal: a log or a pipe has no width."""


def render(value: Any, columns: Sequence[str]) -> str:
    rows = value if isinstance(value, list) else None
    table = _rows(rows, columns) if rows is not None else _members(value)
    return "(none)" if rows == [] else draw(table)


def draw(table: Table) -> str:
    width = shutil.get_terminal_size((NARROWEST, 24)).columns if sys.stdout.isatty() else 200
    console = Console(width=width, force_terminal=coloured(), no_color=not coloured(), highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    shown = columns or list(rows[0]) if rows else columns
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in shown:
        table.add_column(_title(column), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in shown))
    return table


def _members(value: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, member in value.items():
        table.add_row(Text(_title(name), style="bold"), _cell(member))
    return table


def _cell(value: Any) -> Text:
    text = _plain(value)
    return Text(text, style=STYLES.get(text, ""))


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(str(name))}={_plain(member)}" for name, member in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(member) for member in value)
    return one_line(str(value).replace("\n", " "))


def _title(column: str) -> str:
    """`startup_s` → `startup (s)`."""
    name, _, unit = column.rpartition("_")
    words, unit_word = column.replace("_", " "), name.replace("_", " ")
    return one_line(f"{unit_word} ({unit})" if name and unit in UNITS else words)
