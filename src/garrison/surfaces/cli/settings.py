"""`garrison settings …`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from garrison.catalog.report import render_report
from garrison.kernel.settings import Field, LoadedSettings, fields_of
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.options import ConfigOption, EnvOption, OutputOption
from garrison.surfaces.cli.output import Form, show, tell
from garrison.surfaces.configuration import Wanted, configure
from garrison.surfaces.settings import Settings
from garrison.telemetry.redaction import redactor

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def settings() -> None:
    """Show settings and where they come from.

    Examples: garrison settings show --origin
    """


@app.command("show")
def show_settings(
    origin: Annotated[bool, typer.Option("--origin", help="Also where each value comes from.")] = False,
    describe: Annotated[bool, typer.Option("--describe", help="Also what each means, and its default.")] = False,
    config: ConfigOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show every setting as `garrison up` would take it: defaults < file < GARRISON_GROUP__FIELD < --set.

    Exits with 1 when some of them cannot be used.

    Examples: garrison settings show --origin; garrison settings show --describe --output yaml
    """
    wanted = Wanted(Path.cwd(), config.expanduser().resolve() if config else None, env_name, environment=os.environ)
    configuration = configure(wanted)
    rows = [_row(field, configuration.settings, origin, describe) for field in fields_of(Settings).values()]
    show(rows, output)
    wrong = [problem for problem in configuration.problems if problem.code == "settings.invalid"]
    if wrong:
        tell(render_report(wrong))
        raise typer.Exit(exits.FOUND)


def _row(field: Field, loaded: LoadedSettings[Settings], origin: bool, describe: bool) -> dict[str, Any]:
    group, _, name = field.name.partition(".")
    value = getattr(getattr(loaded.values, group), name)
    row = {"setting": field.name, "value": redactor.text(value) if isinstance(value, str) else value}
    if origin:
        source = loaded.origins[field.name]
        row["origin"] = f"{source.source} {source.where}".strip()
    if describe:
        row |= {"default": field.default, "variable": field.variable, "description": field.description}
    return row
