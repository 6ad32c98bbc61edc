"""`garrison server …`."""

from __future__ import annotations

from typing import Annotated

import typer

from garrison.surfaces.cli import exits
from garrison.surfaces.cli.fleet_report import COLUMNS, GOOD, in_short, with_instances
from garrison.surfaces.cli.node_client import client_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, show, tell

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
LIST_COLUMNS = ("name", "transport", "start", *COLUMNS[1:5], "restarts", "pid", "error")


@app.callback()
def server() -> None:
    """List and restart servers.

    Examples: garrison server list; garrison server restart git
    """


@app.command("list")
def list_servers(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """List the servers of the running fleet.

    Examples: garrison server list; garrison server list --output json
    """
    rows = client_of(home_of(home, env_name)).status()["servers"]
    if output is Form.TABLE:
        show([in_short(row) for row in rows], output, with_instances(LIST_COLUMNS, rows))
    else:
        show(rows, output, LIST_COLUMNS)


@app.command("restart")
def restart(
    name: Annotated[str, typer.Argument(help="The server's name.", show_default=False)],
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """End one server and start it afresh, a failed or lazy one too. Exits with 4 when it does not run afterwards.

    Several instances are restarted one after the other, so that calls go on; if one does not come back, the rest is
    left as it is.

    Examples: garrison server restart git
    """
    client = client_of(home_of(home, env_name))
    tell(f"restarting {name}")
    row = client.restart(name)
    if output is Form.TABLE:
        show([in_short(row)], output, with_instances(COLUMNS, [row]))
    else:
        show(row, output, COLUMNS)
    raise typer.Exit(exits.OK if row["state"] in GOOD else exits.DEGRADED)
