"""What commands print: results on stdout in the form asked for, everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from typing import Any, Final, Protocol, TextIO, cast

from garrison.kernel.errors import GarrisonError
from garrison.telemetry import printable

Row = Mapping[str, Any]


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Renderer(Protocol):
    """A module that turns a result into text; loaded when its form is asked for."""

    def render(self, value: Any, columns: Sequence[str]) -> str: ...


RENDERERS: Final = {
    Form.TABLE: "garrison.surfaces.cli.as_table",
    Form.JSON: "garrison.surfaces.cli.as_json",
    Form.YAML: "garrison.surfaces.cli.as_yaml",
}


def show(value: Any, form: Form, columns: Sequence[str] = ()) -> None:
    """Print a result: a list of rows, or one object. `columns`: what a table shows of each row, in this order."""
    renderer = cast("Renderer", import_module(RENDERERS[form]))
    _write(sys.stdout, renderer.render(value, columns))


def say(text: str) -> None:
    """Lines of the result, on stdout; what a terminal would obey is shown instead."""
    _write(sys.stdout, printable.lines(text))


def pass_on(text: str) -> None:
    """What a tool answered: into a file or a pipe as it is, on a terminal as `say`."""
    _write(sys.stdout, printable.lines(text) if sys.stdout.isatty() else text)


def tell(text: str) -> None:
    """Progress, remarks and errors, on stderr; as `say`."""
    _write(sys.stderr, printable.lines(text))


def tell_error(error: GarrisonError) -> None:
    _write(sys.stderr, f"{_red('error:')} {printable.lines(error.message)}")
    if error.hint:
        tell(f"  hint: {error.hint}")


def coloured(stream: Any = None) -> bool:
    """Colours only for people: on a terminal, and unless NO_COLOR (no-color.org) says no."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and (stream or sys.stdout).isatty()


def _write(stream: TextIO, text: str) -> None:
    stream.write(text.rstrip("\n") + "\n")
    stream.flush()


def _red(text: str) -> str:
    return f"\033[1;31m{text}\033[0m" if coloured(sys.stderr) else text
