"""`garrison import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from garrison.catalog.discover import discover
from garrison.catalog.importer import ImportPlan, plan_import
from garrison.catalog.load import load_all
from garrison.catalog.report import render_report, summary
from garrison.identity.secrets import secrets_of
from garrison.kernel.errors import Conflict, Invalid, NotFound
from garrison.kernel.home import Home
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, say, show, tell

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("import")
def import_files(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE …]", help="Default: all clients' files of the current folder."),
    ] = None,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where to write.")] = Path("garrison.yaml"),
    user: Annotated[bool, typer.Option("--user", help="Also the clients' files of your home folder.")] = False,
    print_only: Annotated[bool, typer.Option("--print", help="Print the garrison.yaml; write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Turn clients' configuration files into one garrison.yaml; secrets in plain text move to the secrets file.

    Every problem is reported with file, line, column and a hint, on stderr. The files that are read stay as they are.
    Exits with 1 when something could not be taken over.

    Examples: garrison import; garrison import .mcp.json; garrison import --print ~/.cursor/mcp.json
    """
    chosen = [path.expanduser() for path in files] if files else _found(user)
    loaded = load_all(chosen)
    folder = "" if files and len(files) == 1 and print_only else str(to.absolute().parent)
    plan = plan_import(loaded, folder)
    if plan.problems:
        tell(render_report(plan.problems))
    if not loaded.snapshot.servers:
        raise Invalid("import.nothing", "no server was found in what was read", "see the problems listed above")
    if print_only:
        say(plan.yaml_text)
        return
    if to.exists() and not force:
        raise Conflict("import.exists", f"{to} exists already", "give another --to FILE, or --force to replace it")
    _write(to, plan, home_of(home, env_name))
    _tell(to, plan, list(loaded.snapshot.servers), output)
    raise typer.Exit(exits.FOUND if loaded.failed else exits.OK)


def _found(user: bool) -> list[Path]:
    found = discover(Path.cwd(), Path.home() if user else None)
    files = [one.path for one in found if one.client != "Garrison"]
    if not files:
        message = "no client's configuration file was found in this folder"
        raise NotFound("import.no_files", message, "name the files, or look in your home folder too with --user")
    return files


def _write(to: Path, plan: ImportPlan, home: Home) -> None:
    """The secrets first: a garrison.yaml never refers to a secret that was lost on the way."""
    if plan.secrets:
        home.create()
        stored = secrets_of(home)
        for name, value in plan.secrets.items():
            stored.set(name, value)
    try:
        to.write_text(plan.yaml_text)
    except OSError as error:
        raise Invalid("import.unwritable", f"{to} cannot be written: {error.strerror}", "give another --to") from error


def _tell(to: Path, plan: ImportPlan, servers: list[str], output: Form) -> None:
    if output is not Form.TABLE:
        show({"file": str(to), "servers": servers, "secrets": sorted(plan.secrets)}, output)
        return
    say(f"wrote {to}: {len(servers)} servers ({summary(plan.problems)})")
    if plan.secrets:
        say(f"moved into the secrets file: {', '.join(sorted(plan.secrets))}")
    say("next: garrison check, then garrison up")
