"""`garrison approvals …`: calls that wait for somebody's yes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from garrison.kernel.errors import Invalid
from garrison.surfaces.cli.node_client import NodeClient, client_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, say, show

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
COLUMNS = ("id", "state", "name", "tool", "rule", "asked", "until", "decided_by", "reason")
KeyOption = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="Who decides: a key; default: the admin key.", show_default=False),
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.", show_default=False)]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the asker is told when it is denied.")]


@app.callback()
def approvals() -> None:
    """Show calls that wait for somebody's yes, and decide. Nobody decides about his own.

    Examples: garrison approvals list; garrison approvals show 3f2a; garrison approvals approve 3f2a --reason agreed
    """


@app.command("list")
def list_approvals(
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided or over as well.")] = False,
    key_file: KeyOption = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """List the calls that wait, newest first.

    Examples: garrison approvals list; garrison approvals list --all --output json
    """
    rows = _client(home, env_name, key_file).approvals()
    show([row for row in rows if everything or row["state"] == "pending"], output, COLUMNS)


@app.command("show")
def show_approval(
    approval_id: IdArgument,
    key_file: KeyOption = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show one, with the arguments that its call would be made with.

    Examples: garrison approvals show 3f2a8c11d0e4
    """
    show(_client(home, env_name, key_file).approval(approval_id), output)


@app.command("approve")
def approve(
    approval_id: IdArgument,
    reason: ReasonOption = "",
    key_file: KeyOption = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Let the call be made, once, as it is shown.

    Examples: garrison approvals approve 3f2a8c11d0e4 --reason "agreed in the morning"
    """
    _decide(_client(home, env_name, key_file), approval_id, "approve", reason, output)


@app.command("deny")
def deny(
    approval_id: IdArgument,
    reason: ReasonOption = "",
    key_file: KeyOption = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Refuse the call.

    Examples: garrison approvals deny 3f2a8c11d0e4 --reason "not on a Friday"
    """
    _decide(_client(home, env_name, key_file), approval_id, "deny", reason, output)


def _decide(client: NodeClient, approval_id: str, verdict: str, reason: str, output: Form) -> None:
    row: dict[str, Any] = client.decide(approval_id, verdict, reason)
    if output is Form.TABLE:
        say(f"{row['state']}: {row['tool']} for {row['name']} ({row['id']})")
    else:
        show(row, output)


def _client(home: Path | None, env_name: str, key_file: Path | None) -> NodeClient:
    client = client_of(home_of(home, env_name))
    if key_file is not None:
        try:
            client.key = key_file.expanduser().read_text().strip()
        except OSError as error:
            why = f"{key_file} cannot be read: {error.strerror}"
            raise Invalid("key.unreadable", why, "check --key-file") from error
    return client
