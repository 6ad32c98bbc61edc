"""`garrison keys …`: works on the files of the home; a running fleet notices within a second."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from garrison.identity.key_table import KeyRecord
from garrison.identity.keys import ADMIN, KeyStore
from garrison.kernel.clock import SystemClock, rfc3339
from garrison.kernel.errors import GarrisonError, Invalid
from garrison.kernel.home import Home, write_private
from garrison.surfaces.cli.on_the_record import record_change
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, YesOption, confirm, home_of
from garrison.surfaces.cli.output import Form, say, show, tell
from garrison.surfaces.desired import read_desired
from garrison.surfaces.wiring.credentials import token_store

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
COLUMNS = ("name", "prefix", "roles", "groups", "scopes", "state", "created", "expires", "used")
KeyFile = Annotated[
    Path | None, typer.Option("--to", metavar="FILE", help="Write the key there (mode 0600) and do not print it.")
]
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.callback()
def keys() -> None:
    """Create, list, rotate and revoke API keys.

    Examples: garrison keys create ci --role reader --expires 30d; garrison keys list; garrison keys revoke ci
    """


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="For people: who or what uses it.", show_default=False)],
    role: Annotated[
        list[str] | None, typer.Option("--role", help="A role of garrison.yaml, or admin; may be repeated.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", help="A group that it belongs to; may be repeated.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="SERVER[/TOOL]",
            help="Bound it to these servers or tools (patterns), whatever its roles allow; may be repeated.",
        ),
    ] = None,
    expires: Annotated[str, typer.Option("--expires", metavar="SPAN", help="30d, 12h, 45m; default: never.")] = "",
    to: KeyFile = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Make a key. It is shown this once; only its hash is kept. A key without a role may do nothing.

    Examples: garrison keys create ci --role reader --expires 30d; garrison keys create bot --role reader --to bot.key;
    garrison keys create deploy --role developer --scope git --scope 'files/read_*' --group platform
    """
    place = home_of(home, env_name)
    with _store(place) as store:
        now_ns = SystemClock().wall_ns()
        until_ns = now_ns + span_s(expires) * 1_000_000_000 if expires else None
        record, secret = store.create(name, role or [], until_ns, group or [], scope or None)
        _record(place, "keys.create", record, _created(record))
    _remark_on_roles(place, record)
    _hand_out(record, secret, to, output)


def _created(record: KeyRecord) -> dict[str, Any]:
    """For the ledger."""
    told: dict[str, Any] = {"roles": list(record.roles), "expires": _time(record.expires_ns)}
    told |= {"groups": list(record.groups)} if record.groups else {}
    return told | ({"scopes": list(record.scopes)} if record.scopes is not None else {})


def _remark_on_roles(place: Home, record: KeyRecord) -> None:
    """Roles may be declared later, so a key with an unknown one is made; but that it may do nothing yet is said."""
    if not record.roles and not record.groups:
        tell(f"remark: key {record.name!r} has no role and may do nothing; make one with --role")
        return
    try:
        declared = set(read_desired(place).catalog.roles)
    except GarrisonError:
        return  # nothing was brought up yet, so nothing is known
    for role in sorted(set(record.roles) - declared - {ADMIN}):
        tell(f"remark: no role {role!r} is declared in the running configuration; until it is, it grants nothing")


@app.command("list")
def list_keys(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """List all keys, the revoked and expired ones too; never the keys themselves.

    Examples: garrison keys list; garrison keys list --output json
    """
    with _store(home_of(home, env_name)) as store:
        show([_row(record) for record in store.list()], output, COLUMNS)


@app.command("rotate")
def rotate(
    name: Annotated[str, typer.Argument(help="The key's name.", show_default=False)],
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="SPAN", help="How long the old key still works: 10m, 1h.")
    ] = "0s",
    to: KeyFile = None,
    yes: YesOption = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Replace a key's secret; principal, name and roles stay. The admin key goes into its file, not onto the screen.

    Examples: garrison keys rotate ci --overlap 1h; garrison keys rotate admin --yes
    """
    place = home_of(home, env_name)
    if not span_s(overlap):
        confirm(f"The old key {name} ends at once. Rotate it?", yes)
    with _store(place) as store:
        if name == ADMIN:
            record = store.rotate_admin(place, span_s(overlap))
            secret, to = "", place.admin_key
        else:
            record, secret = store.rotate(name, span_s(overlap))
        _record(place, "keys.rotate", record, {"overlap_s": span_s(overlap)})
    _hand_out(record, secret, to, output)


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="NAME|PREFIX", help="The key.", show_default=False)],
    yes: YesOption = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """End a key at once. Its sign-ins at servers are forgotten; `garrison auth logout` before it withdraws them there.

    Examples: garrison keys revoke ci; garrison keys revoke ci --yes
    """
    place = home_of(home, env_name)
    confirm(f"Whoever uses the key {key} is locked out. Revoke it?", yes)
    with _store(place) as store:
        records = store.revoke(key)
        for record in records:
            _record(place, "keys.revoke", record, {"prefix": record.prefix})
        now_ns = SystemClock().wall_ns()
        living = {one.principal for one in store.list() if one.is_live(now_ns)}
    _forget_sign_ins(place, {one.principal for one in records} - living)
    if output is Form.TABLE:
        say(f"revoked: {', '.join(f'{record.name} ({record.prefix})' for record in records)}")
    else:
        show([_row(record) for record in records], output)


def _forget_sign_ins(home: Home, principals: set[str]) -> None:
    """Tokens of servers that nobody can use any more."""
    try:
        for principal in principals if home.tokens.exists() else ():
            token_store(home, SystemClock()).forget_all(principal)
    except GarrisonError as error:  # the key is revoked all the same
        tell(f"what it had signed in to stays sealed in {home.tokens}: {error.message}")


def span_s(text: str) -> int:
    """`90s`, `45m`, `12h`, `30d` in seconds. Raises `Invalid`."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if match is None:
        raise Invalid("span.invalid", f"{text!r} is no span of time", "for example 45m, 12h or 30d")
    return int(match[1]) * _UNITS_S[match[2]]


@contextmanager
def _store(home: Home) -> Iterator[KeyStore]:
    home.create()
    with closing(KeyStore(home.keys)) as store:
        yield store


def _record(home: Home, change: str, record: KeyRecord, detail: dict[str, Any]) -> None:
    record_change(home, change, record.name, detail)


def _hand_out(record: KeyRecord, secret: str, to: Path | None, output: Form) -> None:
    if to is not None and secret:
        write_private(to.absolute(), secret.encode())
    shown = {**_row(record), **({"key_file": str(to)} if to else {"key": secret})}
    if output is not Form.TABLE:
        show(shown, output)
    elif to is not None:
        say(f"the key {record.name} ({record.prefix}) is in {to}")
    else:
        tell(f"the key {record.name} ({record.prefix}); it is shown this once:")
        say(secret)


def _row(record: KeyRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "prefix": record.prefix,
        "principal": record.principal,
        "roles": record.roles,
        "groups": record.groups,
        "scopes": record.scopes,
        "state": "live" if record.is_live(SystemClock().wall_ns()) else "revoked" if record.revoked_ns else "expired",
        "created": _time(record.created_ns),
        "expires": _time(record.expires_ns),
        "used": _time(record.used_ns),
    }


def _time(wall_ns: int | None) -> str | None:
    return rfc3339(wall_ns) if wall_ns is not None else None
