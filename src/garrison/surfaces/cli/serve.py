"""`garrison serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from garrison.servers.command import run

app = typer.Typer(add_completion=False, rich_markup_mode=None)


# What stands behind the name is the server's own business, --help included.
@app.command("serve", context_settings={"allow_extra_args": True, "allow_interspersed_args": False})
def serve(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="filesystem, git, time, …", show_default=False)],
) -> None:
    """Run one built-in server by itself, on stdin and stdout or with --http HOST:PORT; `NAME --help` lists its options.

    Examples: garrison serve time; garrison serve filesystem --root . --http 127.0.0.1:8123
    """
    raise typer.Exit(run([name, *context.args]))
