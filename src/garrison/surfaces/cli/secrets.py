"""`garrison secrets …`: values that the configuration refers to as `${secret:NAME}`, encrypted in the home."""

from __future__ import annotations

import getpass
import sys
from secrets import token_urlsafe
from typing import Annotated

import typer

from garrison.identity.envelope import envelope_of
from garrison.identity.master_keys import Source, SourceName, source_named
from garrison.identity.rekeying import Rekeyed, finish, rekey
from garrison.identity.secrets import Stored, secrets_of
from garrison.kernel.clock import SystemClock, rfc3339
from garrison.kernel.errors import Invalid
from garrison.kernel.home import Home
from garrison.surfaces.cli.on_the_record import record_change
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, YesOption, confirm, home_of
from garrison.surfaces.cli.output import Form, say, show, tell
from garrison.surfaces.presence import running_node
from garrison.surfaces.wiring.credentials import sealed_tokens

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="As in ${secret:NAME}.", show_default=False)]
GENERATED_BYTES = 32


@app.callback()
def secrets() -> None:
    """Store, list, rotate and remove secrets that the configuration refers to, and change the key that seals them.

    Examples: garrison secrets set docs_token < token.txt; garrison secrets list
    """


@app.command("list")
def list_secrets(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """List names, versions and when they were stored; the values are never shown.

    Examples: garrison secrets list; garrison secrets list --output json
    """
    show([_row(one) for one in secrets_of(home_of(home, env_name)).stored()], output)


@app.command("set")
def set_secret(name: NameArgument, home: HomeOption = None, env_name: EnvOption = "") -> None:
    """Store a secret, or replace it. The value is asked for, or read from stdin; never an argument, which others see.

    Examples: garrison secrets set docs_token; garrison secrets set docs_token < token.txt
    """
    place = home_of(home, env_name)
    value = _asked_for(name)
    place.create()
    secrets_of(place).set(name, value)
    record_change(place, "secrets.set", name)
    tell(f"stored {name}; servers that run already get it with `garrison server restart`")


@app.command("rotate")
def rotate(
    name: NameArgument,
    generate: Annotated[bool, typer.Option("--generate", help="Take a random value: 32 bytes as base64url.")] = False,
    back: Annotated[bool, typer.Option("--back", help="Take up the former value again.")] = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
) -> None:
    """Give a secret another value and keep the former ones, up to four. The value is asked for, or read from stdin.

    Examples: garrison secrets rotate docs_token < token.txt; garrison secrets rotate hook --generate;
    garrison secrets rotate docs_token --back
    """
    if generate and back:
        raise Invalid("cli.contradiction", "--generate and --back exclude each other")
    place = home_of(home, env_name)
    stored = secrets_of(place)
    if back:
        stored.go_back(name)
    else:
        stored.rotate(name, token_urlsafe(GENERATED_BYTES) if generate else _asked_for(name))
    record_change(place, "secrets.rotate", name, {"back": True} if back else None)
    tell(f"rotated {name}; servers that run already get it with `garrison server restart`")


@app.command("remove")
def remove(name: NameArgument, yes: YesOption = False, home: HomeOption = None, env_name: EnvOption = "") -> None:
    """Remove a secret. Servers that refer to it do not start any more.

    Examples: garrison secrets remove docs_token --yes
    """
    place = home_of(home, env_name)
    confirm(f"The secret {name} is gone for good. Remove it?", yes)
    secrets_of(place).remove(name)
    record_change(place, "secrets.remove", name)
    say(f"removed {name}")


@app.command("rekey")
def rekey_secrets(
    to: Annotated[
        str, typer.Option("--to", metavar="SOURCE", help="file, environment, keyring or vault. Default: as it is.")
    ] = "",
    vault_address: Annotated[str, typer.Option("--vault-address", metavar="URL", help="Of Vault or OpenBao.")] = "",
    vault_mount: Annotated[str, typer.Option("--vault-mount", help="The transit engine.")] = "transit",
    vault_key: Annotated[str, typer.Option("--vault-key", help="The engine's key.")] = "garrison",
    keep_former: Annotated[bool, typer.Option("--keep-former", help="Both keys hold until --finish.")] = False,
    finish_now: Annotated[bool, typer.Option("--finish", help="The former key is of no more use.")] = False,
    data_key: Annotated[bool, typer.Option("--data-key", help="Seal everything by a new data key as well.")] = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Replace the master key, or move it to another place; the fleet goes on meanwhile.

    When it moves while a fleet runs, both keys hold until `garrison secrets rekey --finish`. With --to environment,
    GARRISON_MASTER_KEY holds the key; with --to vault, BAO_TOKEN or VAULT_TOKEN the token.

    Examples: garrison secrets rekey; garrison secrets rekey --to keyring;
    garrison secrets rekey --to vault --vault-address https://vault.example:8200; garrison secrets rekey --finish
    """
    place = home_of(home, env_name)
    envelope = envelope_of(place)
    if finish_now:
        done = finish(envelope)
    else:
        source = _source(to, place, {"address": vault_address, "mount": vault_mount, "key": vault_key})
        _renew(place)
        keep = keep_former or (source is not None and running_node(place) is not None)
        done = rekey(envelope, source, keep_former=keep, new_data=data_key)
        if data_key:
            _renew(place)
    record_change(place, "secrets.rekey", done.source, {"key": done.key, "is_finished": done.is_finished})
    _tell_rekeyed(done, output)


def _renew(home: Home) -> None:
    """Everything that is sealed by data keys itself, so that nothing needs a former key or format."""
    secrets_of(home).renew()
    if home.tokens.exists():
        sealed_tokens(home, SystemClock()).renew()


def _source(to: str, home: Home, vault: dict[str, str]) -> Source | None:
    """None to stay where it is."""
    if not to:
        return None
    names: dict[str, SourceName] = {
        "file": "file",
        "environment": "environment",
        "keyring": "keyring",
        "vault": "vault",
    }
    if to not in names:
        raise Invalid("secrets.source", f"{to[:32]!r} is no place for a master key", f"one of {', '.join(names)}")
    where = vault if to == "vault" else {"account": str(home.root)}
    return source_named(names[to], where, home.secrets_key)


def _tell_rekeyed(done: Rekeyed, output: Form) -> None:
    if output is not Form.TABLE:
        row = {"source": done.source, "key": done.key, "data_keys": done.data_keys, "is_finished": done.is_finished}
        show(row, output)
        return
    say(f"the master key is now {done.key} ({done.source})")
    if not done.is_finished:
        tell("the former key still holds; end that with `garrison secrets rekey --finish` once the fleet was restarted")


def _asked_for(name: str) -> str:
    return getpass.getpass(f"Value of {name}: ") if sys.stdin.isatty() else sys.stdin.read().rstrip("\r\n")


def _row(one: Stored) -> dict[str, object]:
    since = rfc3339(one.since_ns) if one.since_ns else ""
    return {"name": one.name, "version": one.version, "since": since, "former": one.former}
