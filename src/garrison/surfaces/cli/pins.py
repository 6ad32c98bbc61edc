"""`garrison pins …`: what servers were approved to offer, what differs from that, and decisions about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from garrison.catalog.lock_file import NAME
from garrison.catalog.pin_book import PinBook, book_of
from garrison.kernel.errors import NotFound
from garrison.kernel.home import Home
from garrison.surfaces.api.pins import details
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.node_client import NodeClient, client_of
from garrison.surfaces.cli.on_the_record import record_change
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, YesOption, confirm, home_of
from garrison.surfaces.cli.output import Form, say, show, tell
from garrison.surfaces.desired import lock_of, read_desired
from garrison.surfaces.pin_rows import differences, pin_rows
from garrison.surfaces.presence import running_node

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
COLUMNS = ("server", "kind", "name", "state", "first_seen", "text")
WhatArgument = Annotated[str, typer.Argument(metavar="[SERVER[/NAME]]", help="Default: all.", show_default=False)]
TargetArgument = Annotated[
    str,
    typer.Argument(metavar="SERVER[/NAME]", help="What servers offer, as `pins list` names it.", show_default=False),
]


@app.callback()
def pins() -> None:
    """See what servers are pinned to offer, what differs from it and is held, and approve or revoke it.

    Examples: garrison pins list; garrison pins diff; garrison pins approve git
    """


@app.command("list")
def list_pins(
    what: WhatArgument = "", home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE
) -> None:
    """List pins; `state` is pinned, or why something is held: changed, new or suspicious.

    Examples: garrison pins list; garrison pins list git; garrison pins list git/git_push --output json
    """
    rows = pin_rows(_book(home_of(home, env_name)), *_parts(what))
    show(rows, output, COLUMNS) if output is Form.TABLE else show(rows, output)


@app.command("diff")
def diff(
    what: WhatArgument = "", home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE
) -> None:
    """Show what is held, and how it differs from its pin. Exits with 1 when anything is held.

    Examples: garrison pins diff; garrison pins diff git/git_push; garrison pins diff --output json
    """
    rows = differences(_book(home_of(home, env_name)), *_parts(what))
    if output is not Form.TABLE:
        show(rows, output)
    elif not rows:
        say("nothing is held")
    for row in rows if output is Form.TABLE else ():
        _say_difference(row)
    raise typer.Exit(exits.FOUND if rows else exits.OK)


@app.command("approve")
def approve(
    what: TargetArgument,
    sha256: Annotated[str, typer.Option("--sha256", help="Only if this is what is held (see diff).")] = "",
    yes: YesOption = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Take over what a server offers now: one definition, or everything of it; from then on what is new is held too.

    Examples: garrison pins approve git/git_push; garrison pins approve git --yes
    """
    place, (server, name) = home_of(home, env_name), _parts(what)
    confirm(f"Let clients see and use what {what} offers now?", yes)
    client = _client(place)
    if client is not None:
        taken = client.decide_pins("approve", server, name, sha256)
    else:
        taken = _decide_here(place, "pins.approve", server, name, sha256)
    _tell_taken("approved", what, taken, output)


@app.command("revoke")
def revoke(
    what: TargetArgument,
    yes: YesOption = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Remove pins: what was pinned is held until somebody approves it.

    Examples: garrison pins revoke git/git_push --yes
    """
    place, (server, name) = home_of(home, env_name), _parts(what)
    confirm(f"Hold {what} until it is approved again?", yes)
    client = _client(place)
    if client is not None:
        taken = client.decide_pins("revoke", server, name, "")
    else:
        taken = _decide_here(place, "pins.revoke", server, name, "")
    _tell_taken("revoked", what, taken, output)


def _parts(what: str) -> tuple[str, str]:
    server, _, name = what.partition("/")
    return server, name


def _book(home: Home) -> PinBook:
    """As the files have it; what the fleet has just seen is in them in a moment."""
    book = book_of(home, _lock(home))
    book.read()
    return book


def _lock(home: Home) -> Path | None:
    """That of the fleet that was brought up last, else the one that stands here."""
    try:
        return lock_of(read_desired(home))
    except NotFound:
        here = Path.cwd() / NAME
        return here if here.exists() else None


def _client(home: Home) -> NodeClient | None:
    return client_of(home) if running_node(home) is not None else None


def _decide_here(home: Home, change: str, server: str, name: str, sha256: str) -> list[dict[str, Any]]:
    """No fleet runs: the files are changed, and the machine's user goes on the record."""
    book = _book(home)
    taken = book.approve(server, name, sha256) if change == "pins.approve" else book.revoke(server, name)
    book.save()
    for detail in details(name, taken):
        record_change(home, change, server, detail)
    return [one._asdict() for one in taken]


def _say_difference(row: dict[str, Any]) -> None:
    say(f"{row['server']}: {row['kind']} {row['name']} is held ({row['state']}), first seen {row['first_seen']}")
    say(f"  pinned {row['pinned'] or '-'}")
    say(f"  offered {row['offered']}")
    for finding in row["findings"]:
        say(f"  ! {finding}")
    say(row["diff"])


def _tell_taken(done: str, what: str, taken: list[dict[str, Any]], output: Form) -> None:
    if output is not Form.TABLE:
        show(taken, output)
        return
    tell(f"{done} {what}: {len(taken)} definitions" if len(taken) != 1 else f"{done} {what}")
