"""`garrison`: the table of commands, and the boundary where errors become exit codes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from garrison import __version__
from garrison.kernel.errors import GarrisonError
from garrison.protection import reasons
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.output import say, tell, tell_error

COMMANDS: Final = {
    "up": ("fleet_up", "Start the fleet, or bring a running one in step with its configuration."),
    "down": ("fleet_down", "End the fleet; nothing of it is left."),
    "status": ("fleet_status", "Show the fleet: servers, states, problems."),
    "logs": ("logs", "Show logs of the fleet or of one server."),
    "call": ("call", "Call a tool through the gateway."),
    "check": ("check", "Check the configuration; starts nothing."),
    "import": ("importing", "Turn clients' configuration files into a garrison.yaml."),
    "server": ("servers", "List and restart servers."),
    "keys": ("keys", "Create, list, rotate and revoke API keys."),
    "auth": ("auth", "Sign in at servers, see who has, and sign out."),
    "whoami": ("whoami", "Show whom a key or token makes of its bearer, and why."),
    "secrets": ("secrets", "Store, rotate and remove secrets that the configuration refers to."),
    "scan": ("scan", "Look for orders to the model and hidden text in what servers offer."),
    "pins": ("pins", "See what servers are held to, what differs, and approve it."),
    "limits": ("limits", "Show what limits allow, what is used of it, and by whom."),
    "tls": ("tls", "Make certificates for trials, and show what is served."),
    "explain": ("explain", "Say whether somebody may use a tool, and by which rule."),
    "who-can": ("who_can", "Show who may use a tool."),
    "view-as": ("view_as", "Show what somebody may see and use."),
    "policy": ("policy", "Show, check and try the rules of authorisation."),
    "approvals": ("approvals", "Show calls that wait for somebody's yes, and decide."),
    "audit": ("audit", "Read and verify the ledger."),
    "state": ("state", "Show what was desired and what ran at a moment."),
    "settings": ("settings", "Show settings and where they come from."),
    "bench": ("bench", "Measure what a call costs through the gateway."),
    "serve": ("serve", "Run one built-in server by itself."),
    "schema": ("schema", "Print the JSON Schema of garrison.yaml."),
}
"""Command → its module here, and what it is for. A module is imported when its command is used."""


class Commands(TyperGroup):
    """Looks commands up in the table: a start takes no longer than the one command needs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """For help texts and completion, the line of the table is enough."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = {name: TyperCommand(name) for name in COMMANDS}  # for "did you mean"
        name, found, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and found else found, rest


def load_command(name: str) -> Any:
    """The real command, with its module."""
    command = typer.main.get_command(import_module(f"garrison.surfaces.cli.{COMMANDS[name][0]}").app)
    command.name = name
    return command


app = typer.Typer(
    cls=Commands,
    name="garrison",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in exits.MEANINGS.items()) + ".",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"garrison {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", help="Why: goes on the record with what is changed.", show_default=False)
    ] = "",
) -> None:
    """Runs, protects and ships fleets of MCP servers.

    Examples: garrison up; garrison status; garrison call time__get_current_time; garrison down;
    garrison --reason "ticket 7" keys revoke ci.
    """
    reasons.give(reason)


def _end(number: int, frame: object) -> None:
    """SIGTERM unwinds like an exception, so that what is half done is undone."""
    sys.exit(128 + number)


def run() -> None:
    """The program. Errors end here: a sentence and a hint on stderr, and an exit code."""
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except GarrisonError as error:
        tell_error(error)
        sys.exit(exits.OF_KIND[error.kind])
    except KeyboardInterrupt:
        tell("interrupted")
        sys.exit(exits.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say to a closed pipe
        sys.exit(exits.OK)
    except Exception as error:  # noqa: BLE001  (boundary: the command line's last resort)
        tell(f"error: a defect of Garrison: {type(error).__name__}: {error}")
        tell("  hint: GARRISON_TRACE=1 shows where; please report it")
        if os.environ.get("GARRISON_TRACE"):
            traceback.print_exc()
        sys.exit(exits.DEFECT)
