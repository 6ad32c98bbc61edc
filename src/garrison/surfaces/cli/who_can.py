"""`garrison who-can`: everybody who may use a tool."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from garrison.identity.principals import Principal
from garrison.surfaces.access import Access, Thing, access, decided, moment_ns, principals
from garrison.surfaces.cli.asking_options import (
    AddressOption,
    AtOption,
    ClientOption,
    EraOption,
    arguments_of,
    circumstances,
    offers_now,
)
from garrison.surfaces.cli.options import ConfigOption, EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, show

app = typer.Typer(add_completion=False, rich_markup_mode=None)
COLUMNS = ("who", "what", "decision", "rule", "place")


@app.command("who-can")
def who_can(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="SERVER__TOOL or SERVER/TOOL.")],
    arguments: Annotated[
        str, typer.Option("--arguments", metavar="JSON", help="What it is called with.", show_default=False)
    ] = "",
    at: AtOption = "",
    client: ClientOption = "",
    address: AddressOption = "",
    era: EraOption = "modern",
    everybody: Annotated[bool, typer.Option("--all", help="Those as well who may not.")] = False,
    config: ConfigOption = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show who may use a tool: all live keys, and every role and group by itself, with the deciding rule.

    Examples: garrison who-can git__git_commit; garrison who-can files/write_file --arguments '{"path": "/srv/a"}';
    garrison who-can git/git_push --all --output json
    """
    place = home_of(home, env_name)
    found = access(place, config, env_name, moment_ns(at), offers_now(place) if config is None else ())
    given, how = arguments_of(arguments), circumstances(client, address, era)
    thing = found.thing(tool)
    rows = []
    for what, one in [("key", one) for one in principals(place)] + _made_up(found, thing):
        decision = decided(found, one, thing, given, how)
        if decision.allowed or everybody:
            rows.append({"who": one.name, "what": what, **found.told(decision, one)})
    show(rows, output, COLUMNS)


def _made_up(found: Access, thing: Thing) -> list[tuple[str, Principal]]:
    """Somebody who has nothing but one role, or is in one group."""
    roles: list[Any] = [("role", Principal(f"role:{name}", "local", name, (name,))) for name in found.snapshot.roles]
    groups = found.snapshot.sections.groups
    members = [
        ("group", Principal(f"group:{name}", "local", name, group.roles, group.claims))
        for name, group in groups.items()
    ]
    return [*roles, *members]
