"""What commands print: results on stdout in the form asked for, everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from typing import Any, Final, Protocol, cast

from garrison.kernel.errors import GarrisonError

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
    say(renderer.render(value, columns))


def say(text: str) -> None:
    """A line of the result, on stdout."""
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Progress, remarks and errors, on stderr."""
    sys.stderr.write(text.rstrip("\n") + "\n")
    sys.stderr.flush()


def tell_error(error: GarrisonError) -> None:
    tell(f"{_red('error:')} {error.message}")
    if error.hint:
        tell(f"  hint: {error.hint}")


def coloured(stream: Any = None) -> bool:
    """Colours only for people: on a terminal, and unless NO_COLOR (no-color.org) says no."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and (stream or sys.stdout).isatty()


def _red(text: str) -> str:
    return f"\033[1;31m{text}\033[0m" if coloured(sys.stderr) else text
