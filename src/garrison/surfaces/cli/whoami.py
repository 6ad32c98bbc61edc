"""`garrison whoami`: whom the running fleet takes the bearer of a key or token for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from garrison.kernel.errors import Invalid
from garrison.surfaces.cli.node_client import client_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, say, show

app = typer.Typer(add_completion=False, rich_markup_mode=None)
COLUMNS = ("principal", "kind", "name", "issuer", "roles", "groups", "scopes", "until")
PRESENTED_BYTES_MAX = 16 * 1024


@app.command()
def whoami(
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", metavar="FILE", help="Another key or token than the administrator's key; - for stdin."
        ),
    ] = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show which principal a key or token is, its roles and groups, and why. It is never written on the command line,
    where others could read it.

    Examples: garrison whoami; garrison whoami --key-file ci.key; garrison whoami --key-file - < ci.key
    """
    found = client_of(home_of(home, env_name)).whoami(_presented(key_file) if key_file else "")
    if output is not Form.TABLE:
        show(found, output)
        return
    for name in COLUMNS:
        if found.get(name):
            say(f"{name:<10} {_text(found[name])}")
    for reason in found["why"]:
        say(f"{'because':<10} {reason}")


def _presented(path: Path) -> str:
    try:
        if str(path) == "-":
            return sys.stdin.read(PRESENTED_BYTES_MAX).strip()
        with path.open("rb") as file:
            return file.read(PRESENTED_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("key.unreadable", f"{path} cannot be read as a key or token", "check --key-file") from error


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
