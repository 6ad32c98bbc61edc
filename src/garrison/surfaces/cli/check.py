"""`garrison check`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from garrison.catalog.problems import Problem
from garrison.catalog.report import render_report
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.options import ConfigOption, EnvOption, OutputOption
from garrison.surfaces.cli.output import Form, say, show
from garrison.surfaces.configuration import Configuration, Wanted, configure
from garrison.surfaces.hardware import hardware
from garrison.surfaces.launchers import as_problems, missing_launchers

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("check")
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The same as --config FILE.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Check the configuration as `garrison up` would read it, and report every problem at once; starts nothing.

    Also says which programs that servers are started with are missing here. Exits with 1 when there are errors.

    Examples: garrison check; garrison check .mcp.json; garrison check --output json
    """
    chosen = file or config
    wanted = Wanted(Path.cwd(), chosen.expanduser().resolve() if chosen else None, env_name, environment=os.environ)
    configuration = configure(wanted)
    missing = missing_launchers(configuration.desired.servers.values())
    problems = [*configuration.problems, *as_problems(missing)]
    if output is Form.TABLE:
        _tell(configuration, problems)
    else:
        show(_result(configuration, problems, missing), output)
    raise typer.Exit(exits.FOUND if any(one.severity == "error" for one in problems) else exits.OK)


def _tell(configuration: Configuration, problems: list[Problem]) -> None:
    say(f"configuration  {', '.join(configuration.desired.source)}")
    say(f"servers        {', '.join(configuration.desired.servers) or 'none'}")
    if configuration.desired.catalog.profiles:
        say(f"profiles       {', '.join(configuration.desired.catalog.profiles)}")
    say(f"machine        {hardware().line}")
    say(render_report(problems) or "no problems")


def _result(configuration: Configuration, problems: list[Problem], missing: dict[str, list[str]]) -> dict[str, object]:
    return {
        "source": configuration.desired.source,
        "servers": list(configuration.desired.servers),
        "profiles": list(configuration.desired.catalog.profiles),
        "problems": [{**msgspec.structs.asdict(one), "place": one.place} for one in problems],
        "missing_launchers": missing,
        "hardware": msgspec.structs.asdict(hardware()),
    }
