"""`garrison explain`: may somebody use a tool, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from garrison.surfaces.access import access, decided, moment_ns, principal
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.asking_options import (
    AddressOption,
    AtOption,
    ClientOption,
    EraOption,
    GroupOption,
    RoleOption,
    arguments_of,
    circumstances,
    offers_now,
)
from garrison.surfaces.cli.options import ConfigOption, EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, show

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("explain")
def explain(
    who: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="A key's name, or a principal's id.")],
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="SERVER__TOOL or SERVER/TOOL.")],
    arguments: Annotated[
        str, typer.Option("--arguments", metavar="JSON", help="What it is called with.", show_default=False)
    ] = "",
    role: RoleOption = None,
    group: GroupOption = None,
    at: AtOption = "",
    client: ClientOption = "",
    address: AddressOption = "",
    era: EraOption = "modern",
    config: ConfigOption = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Say whether somebody may use a tool, and which rule decides, with its place in garrison.yaml.

    By the running fleet's rules, or by --config. Without --arguments it says what is possible. Exits with 5 when it is
    denied.

    Examples: garrison explain ci git__git_commit; garrison explain ci files/edit --arguments '{"path": "/etc/x"}';
    garrison explain somebody git/git_log --role reader --at 2026-11-22T03:00:00Z
    """
    place = home_of(home, env_name)
    found = access(place, config, env_name, moment_ns(at), offers_now(place) if config is None else ())
    asker, thing = principal(place, who, role or [], group or []), found.thing(tool)
    decision = decided(found, asker, thing, arguments_of(arguments), circumstances(client, address, era))
    told = {"tool": f"{thing.server}/{thing.name}", **found.told(decision, asker), "by": found.source}
    show(told, output)
    raise typer.Exit(exits.OK if decision.allowed else exits.DENIED)
