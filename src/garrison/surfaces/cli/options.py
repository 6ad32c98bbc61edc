"""Options that many commands share, and where the home is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from garrison.kernel.errors import Invalid
from garrison.kernel.home import Home
from garrison.surfaces.cli.output import Form

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder with all state. Default: $GARRISON_HOME, else .garrison in the current folder.",
        show_default=False,
    ),
]
OutputOption = Annotated[Form, typer.Option("--output", "-o", help="How results are printed.")]
EnvOption = Annotated[
    str,
    typer.Option(
        "--env",
        metavar="NAME",
        help="Another environment of the same folder: state in .garrison-NAME, configuration from garrison.NAME.yaml "
        "if there is one.",
        show_default=False,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="garrison.yaml or any client's file. Default: garrison.yaml, else the .mcp.json family of the current "
        "folder, else a demo fleet.",
        show_default=False,
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

DEFAULT_HOME = ".garrison"
_ENV_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def home_of(home: Path | None, env_name: str = "") -> Home:
    """An explicit --home is taken as it is; an environment only changes the default one."""
    if env_name and not _ENV_NAME.fullmatch(env_name):
        raise Invalid("env.name", f"{env_name!r} cannot name an environment", "up to 32 of a-z, 0-9, _ and -")
    if home is not None:
        return Home(home.expanduser().resolve())
    default = Path(os.environ.get("GARRISON_HOME") or DEFAULT_HOME).expanduser().resolve()
    return Home(default.with_name(f"{default.name}-{env_name}") if env_name else default)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is lost. Without a terminal there is nobody to ask: `--yes` is needed."""
    if yes:
        return
    if not os.isatty(0):
        raise Invalid("confirm.needed", f"{question} There is no terminal to ask at", "give --yes")
    typer.confirm(question, abort=True, err=True)
