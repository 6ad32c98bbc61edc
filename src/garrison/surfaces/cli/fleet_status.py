"""`garrison status`."""

from __future__ import annotations

import typer

from garrison.kernel.errors import NotFound
from garrison.surfaces.cli.fleet_report import exit_code, report_of, show_report
from garrison.surfaces.cli.node_client import NodeClient, read_key
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form
from garrison.surfaces.presence import returning_node

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("status")
def status(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """Show the fleet: each server's state, era, tools, start-up time, problem and what to do about it.

    Exits with 0 when all is well, 3 when no fleet runs, 4 when some servers do not run.

    Examples: garrison status; garrison status --output json
    """
    place = home_of(home, env_name)
    note = returning_node(place)
    if note is None:
        raise NotFound("fleet.not_running", f"no fleet runs from {place.root}", "start it with `garrison up`")
    report = report_of(place, NodeClient(note, read_key(place), place).status())
    show_report(report, output)
    raise typer.Exit(exit_code(row for row in report["servers"] if row["state"] != "starting"))
