"""`garrison down`."""

from __future__ import annotations

from typing import Annotated

import typer

from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, say, show, tell
from garrison.surfaces.halt import Halt, halt
from garrison.surfaces.presence import held, running_node

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("down")
def down(
    home: HomeOption = None,
    env_name: EnvOption = "",
    now: Annotated[bool, typer.Option("--now", help="Do not let calls in flight finish.")] = False,
    output: OutputOption = Form.TABLE,
) -> None:
    """End the fleet: calls in flight may finish, then servers, gateway and guardian end; no process is left.

    Harmless when nothing runs. Keys, ledger, logs and revisions stay in the home.

    Examples: garrison down; garrison down --now; garrison down --env staging
    """
    place = home_of(home, env_name)
    if not place.root.exists():
        _tell(Halt(was_running=False), output)
        return
    with held(place):
        if (note := running_node(place)) is not None:
            tell(f"ending the fleet (pid {note.pid})")
        _tell(halt(place, 0 if now else None), output)


def _tell(done: Halt, output: Form) -> None:
    if output is not Form.TABLE:
        show({"was_running": done.was_running, "in_order": done.in_order, "swept": done.swept}, output)
    elif not done.was_running:
        say("nothing was running")
    elif done.in_order:
        say("the fleet is down")
    else:
        say(f"the fleet is down; it did not end by itself in time and was killed, {done.swept} servers with it")
