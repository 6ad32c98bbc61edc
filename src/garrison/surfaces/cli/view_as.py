"""`garrison view-as`: what somebody sees."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from garrison.kernel.errors import NotFound
from garrison.surfaces.access import access, moment_ns, principal
from garrison.surfaces.cli.asking_options import (
    AddressOption,
    AtOption,
    ClientOption,
    EraOption,
    GroupOption,
    RoleOption,
    circumstances,
    offers_now,
)
from garrison.surfaces.cli.options import ConfigOption, EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, show

app = typer.Typer(add_completion=False, rich_markup_mode=None)
COLUMNS = ("kind", "shown", "decision", "rule", "place")


@app.command("view-as")
def view_as(
    who: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="A key's name, or a principal's id.")],
    everything: Annotated[bool, typer.Option("--all", help="What is hidden from it as well.")] = False,
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
    """Show the tools, prompts and resources that somebody is shown at /mcp, with the deciding rules.

    What servers list comes from the running fleet; --config tries other rules on it.

    Examples: garrison view-as ci; garrison view-as somebody --role reader; garrison view-as ci --config new.yaml --all
    """
    place = home_of(home, env_name)
    offers = offers_now(place)
    if not offers:
        raise NotFound("fleet.no_lists", "no running fleet lists anything", "`garrison up` starts it")
    found = access(place, config, env_name, moment_ns(at), offers)
    asker, how = principal(place, who, role or [], group or []), circumstances(client, address, era)
    rows: list[dict[str, Any]] = []
    for thing in found.offered:
        decision = found.authoriser.decide(asker, thing.kind, thing.server, thing.name, how, thing.hints)
        if decision.allowed or everything:
            about = {"kind": thing.kind, "shown": thing.shown, "server": thing.server, "name": thing.name}
            rows.append({**about, **found.told(decision, asker)})
    show(rows, output, COLUMNS)
