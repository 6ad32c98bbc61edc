"""`garrison auth …`: sign in at servers that each principal has to sign in at (docs/credentials.md)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import Annotated, Any

import typer

from garrison.kernel.errors import TimedOut
from garrison.surfaces.cli.node_client import NodeClient, client_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, YesOption, confirm, home_of
from garrison.surfaces.cli.output import Form, say, show, tell

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
COLUMNS = ("server", "kind", "name", "principal", "state", "ends", "scopes")
POLL_S = 0.5
ServerArgument = Annotated[str, typer.Argument(metavar="SERVER", help="The server's name.", show_default=False)]
AsOption = Annotated[
    str,
    typer.Option(
        "--as", metavar="PRINCIPAL", help="For whom: the name or id of a key, or the id of a token's bearer; without "
        "it, the administrator.", show_default=False,
    ),
]  # fmt: skip


@app.callback()
def auth() -> None:
    """Sign in at servers, see who has, and sign out.

    Examples: garrison auth login linear; garrison auth status; garrison auth logout linear --as ci --yes
    """


@app.command("login")
def login(
    server: ServerArgument,
    principal: AsOption = "",
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser here.")] = True,
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, max=600, help="How long to wait for the sign-in.")
    ] = 300.0,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Sign in at a server whose auth is of kind authorization_code. Prints the page to open, and waits.

    The administrator's sign-in is also the one that the fleet reads the server's lists with.

    Examples: garrison auth login linear; garrison auth login linear --as ci --no-open --wait 0
    """
    client = client_of(home_of(home, env_name))
    before = client.sign_ins()
    begun = client.begin_sign_in(server, principal)
    tell(f"open this page, and sign in for {begun['name']}:")
    say(begun["url"])
    if open_:
        _open(begun["url"])
    if wait_s:
        row = _until_signed_in(client, server, begun["principal"], wait_s, _row(before, server, begun["principal"]))
        show([row], output, COLUMNS)


@app.command("status")
def status(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """Show which servers are shown a credential, and who has signed in; never what is shown.

    Examples: garrison auth status; garrison auth status --output json
    """
    rows = client_of(home_of(home, env_name)).sign_ins()
    if not rows and output is Form.TABLE:
        tell("no server has `auth:` in the running configuration")
        return
    show(rows, output, COLUMNS)


@app.command("logout")
def logout(
    server: ServerArgument,
    principal: AsOption = "",
    yes: YesOption = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
) -> None:
    """Forget somebody's sign-in at a server. What the authorisation server remembers is withdrawn there.

    Examples: garrison auth logout linear --yes; garrison auth logout linear --as ci --yes
    """
    confirm(f"Calls of {principal or 'the administrator'} to {server} will fail until the next sign-in. Sign out?", yes)
    found = client_of(home_of(home, env_name)).sign_out(server, principal)
    say(f"signed out of {server}" if found["was_signed_in"] else f"nobody was signed in at {server}")


def _until_signed_in(
    client: NodeClient, server: str, principal: str, wait_s: float, before: dict[str, Any] | None
) -> dict[str, Any]:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        row = _row(client.sign_ins(), server, principal)
        if row is not None and row["state"] == "signed in" and row != before:
            return row
        time.sleep(POLL_S)
    message = f"nobody has signed in at {server} within {wait_s:g} s"
    raise TimedOut("auth.no_sign_in", message, "the page works for ten minutes; `garrison auth status` tells")


def _row(rows: list[dict[str, Any]], server: str, principal: str) -> dict[str, Any] | None:
    return next((row for row in rows if (row["server"], row["principal"]) == (server, principal)), None)


def _open(url: str) -> None:
    """In a desktop's browser, where there is one. It runs on by itself."""
    opener = shutil.which("xdg-open") or shutil.which("open")
    if opener is None or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or opener[-4:] == "open"):
        return
    quiet = subprocess.DEVNULL
    subprocess.Popen([opener, url], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
