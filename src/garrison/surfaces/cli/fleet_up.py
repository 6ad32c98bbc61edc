"""`garrison up`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer

from garrison.kernel.home import Home
from garrison.surfaces.cli.bringup import Outcome, bring_up
from garrison.surfaces.cli.fleet_report import exit_code, report_of, show_report
from garrison.surfaces.cli.options import ConfigOption, EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form
from garrison.surfaces.configuration import Wanted

app = typer.Typer(add_completion=False, rich_markup_mode=None)

FOREGROUND = "garrison.surfaces.cli.foreground"
VERIFYING = "garrison.surfaces.cli.verifying"
"""Loaded when asked for: the one brings the whole gateway with it, the other a client."""


class Foreground(Protocol):
    def run_here(self, home: Home, wanted: Wanted, form: Form, *, rollback: bool) -> None: ...


class Verifying(Protocol):
    def verify(self, report: Mapping[str, Any], home: Home) -> dict[str, Any]: ...


@app.command("up")
def up(
    home: HomeOption = None,
    config: ConfigOption = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "",
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=0, help="Processes that serve the address; 0: as configured.")
    ] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="GROUP.FIELD=VALUE", help="A setting; may be repeated.")
    ] = None,
    env_name: EnvOption = "",
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Run in this process until SIGTERM or Ctrl-C.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Bring up the configuration before the current one.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Then make a real call through the gateway to each running server.")
    ] = False,
    output: OutputOption = Form.TABLE,
) -> None:
    """Start the fleet, or bring a running one in step with its configuration.

    Returns when every server has settled, with the fleet running in the background. When it runs already and nothing
    has changed, it only reports. Exits with 4 when some servers do not run.

    Examples: garrison up; garrison up --config .mcp.json --listen 127.0.0.1:0 --output json; garrison up --rollback
    """
    place = home_of(home, env_name)
    wanted = Wanted(
        folder=Path.cwd(),
        config=config.expanduser().resolve() if config else None,
        env_name=env_name,
        flags=flags_of(listen, settings or [], workers),
        environment=os.environ,
    )
    if foreground:
        cast("Foreground", import_module(FOREGROUND)).run_here(place, wanted, output, rollback=rollback)
        return
    report = _report(place, bring_up(place, wanted, rollback=rollback), verify=verify)
    show_report(report, output)
    raise typer.Exit(exit_code(report["servers"]))


def flags_of(listen: str, assignments: list[str], workers: int = 0) -> dict[str, str]:
    """Settings from the command line, by dotted name."""
    for assignment in assignments:
        if "=" not in assignment:
            raise typer.BadParameter(f"{assignment!r} is not GROUP.FIELD=VALUE", param_hint="--set")
    flags = dict(assignment.split("=", 1) for assignment in assignments)
    named = {"edge.listen": listen, "edge.workers": str(workers) if workers else ""}
    return flags | {name: value for name, value in named.items() if value}


def _report(home: Home, outcome: Outcome, *, verify: bool) -> dict[str, Any]:
    report = report_of(home, outcome.status, outcome.left_out)
    return cast("Verifying", import_module(VERIFYING)).verify(report, home) if verify else report
