"""`garrison secrets …`: values that the configuration refers to as `${secret:NAME}`, encrypted in the home."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from garrison.identity.secrets import SecretsFile
from garrison.kernel.home import Home
from garrison.surfaces.cli.on_the_record import record_change
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, YesOption, confirm, home_of
from garrison.surfaces.cli.output import Form, say, show, tell

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="As in ${secret:NAME}.", show_default=False)]


@app.callback()
def secrets() -> None:
    """Store, list and remove secrets that the configuration refers to.

    Examples: garrison secrets set docs_token < token.txt; garrison secrets list
    """


@app.command("list")
def list_secrets(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """List the names; the values are never shown.

    Examples: garrison secrets list; garrison secrets list --output json
    """
    show([{"name": name} for name in _file(home_of(home, env_name)).list()], output)


@app.command("set")
def set_secret(name: NameArgument, home: HomeOption = None, env_name: EnvOption = "") -> None:
    """Store a secret, or replace it. The value is asked for, or read from stdin; never an argument, which others see.

    Examples: garrison secrets set docs_token; garrison secrets set docs_token < token.txt
    """
    place = home_of(home, env_name)
    value = getpass.getpass(f"Value of {name}: ") if sys.stdin.isatty() else sys.stdin.read().rstrip("\r\n")
    place.create()
    _file(place).set(name, value)
    record_change(place, "secrets.set", name)
    tell(f"stored {name}; servers that run already get it with `garrison server restart`")


@app.command("remove")
def remove(name: NameArgument, yes: YesOption = False, home: HomeOption = None, env_name: EnvOption = "") -> None:
    """Remove a secret. Servers that refer to it do not start any more.

    Examples: garrison secrets remove docs_token --yes
    """
    place = home_of(home, env_name)
    confirm(f"The secret {name} is gone for good. Remove it?", yes)
    _file(place).remove(name)
    record_change(place, "secrets.remove", name)
    say(f"removed {name}")


def _file(home: Home) -> SecretsFile:
    return SecretsFile(home.secrets, home.secrets_key)
