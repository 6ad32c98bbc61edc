"""`garrison audit hold …`, `prune` and `forget`: how long what is known is kept, and what is destroyed for good."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from garrison.kernel.clock import SystemClock, rfc3339
from garrison.kernel.errors import Invalid, NotFound
from garrison.kernel.ids import RandomIds
from garrison.protection.pruning import add_hold, holds, plan, prune, release_hold
from garrison.protection.retention import Hold, horizon
from garrison.surfaces.cli.audit_proofs import ledger_of
from garrison.surfaces.cli.on_the_record import record_change
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, YesOption, confirm, home_of
from garrison.surfaces.cli.output import Form, say, show
from garrison.surfaces.desired import read_desired
from garrison.surfaces.moments import moment_ns
from garrison.surfaces.whose import principal_id
from garrison.surfaces.wiring.auditing import body_store

hold_app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
COLUMNS = ("id", "principal", "server", "since", "until", "reason", "by", "made")
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes on the record.", show_default=False)]


@hold_app.callback()
def hold() -> None:
    """Keep entries and bodies beyond their time, for as long as a hold stands.

    Examples: garrison audit hold add --principal key:ci --reason "case 7"; garrison audit hold list
    """


@hold_app.command("add")
def add(
    reason: ReasonOption,
    principal: Annotated[
        str, typer.Option("--principal", help="Only of this one: as entries name it, or key:NAME.", show_default=False)
    ] = "",
    server: Annotated[str, typer.Option("--server", help="Only of this one.", show_default=False)] = "",
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="2h, or a date.", show_default=False)] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="2h, or a date.", show_default=False)] = "",
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Hold what was done by a principal, at a server, within a time: all that is given must hold.

    Examples: garrison audit hold add --principal key:ci --since 2026-01-01 --reason "case 7"
    """
    now_ns = SystemClock().wall_ns()
    made = Hold(
        id=RandomIds().new()[:12],
        principal=principal_id(home_of(home, env_name), principal),
        server=server,
        since_ns=moment_ns(since, now_ns) if since else 0,
        until_ns=moment_ns(until, now_ns) if until else 2**63 - 1,
        reason=reason,
        by=_who(),
        made_ns=now_ns,
    )
    if made.since_ns > made.until_ns:
        raise Invalid("audit.hold_empty", "The hold ends before it begins.", "--since 30d --until 1d")
    add_hold(ledger_of(home, env_name), made)
    show(_row(made), output)


@hold_app.command("list")
def list_holds(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """Show the holds that stand.

    Examples: garrison audit hold list; garrison audit hold list --output json
    """
    show([_row(one) for one in holds(ledger_of(home, env_name))], output, COLUMNS)


@hold_app.command("release")
def release(
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="As `hold list` shows it.", show_default=False)],
    reason: ReasonOption = "",
    yes: YesOption = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
) -> None:
    """End a hold: what it covered goes at the next pruning, if its time is over.

    Examples: garrison audit hold release 4f2c41d09a7b --reason "case closed" --yes
    """
    confirm(f"What the hold {hold_id} covers may be pruned then. Release it?", yes)
    release_hold(ledger_of(home, env_name), hold_id, _who(), reason)
    say(f"released {hold_id}")


def prune_now(
    days: Annotated[
        int, typer.Option("--days", min=0, help="Instead of ledger.retention_days; 0: that.", show_default=False)
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: YesOption = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Take away the content of calls and refusals whose time is over, but for what is held. The log verifies as before.

    Examples: garrison audit prune --dry-run; garrison audit prune --days 90 --yes
    """
    place, ledger = home_of(home, env_name), ledger_of(home, env_name)
    days = days or _retention_days(place)
    if not days:
        hint = "--days 90, or the setting ledger.retention_days"
        raise Invalid("audit.no_retention", "Everything is kept: no time is set after which it may go.", hint)
    horizon_ns = horizon(SystemClock().wall_ns(), days)
    planned, held = plan(ledger, horizon_ns), holds(ledger)
    told: dict[str, Any] = {"before": rfc3339(horizon_ns), "entries": planned.count, "holds": len(held)}
    if not dry_run and planned.count:
        confirm(f"The content of {planned.count} entries before {told['before']} is gone for good. Prune?", yes)
        told["entries"], _ = prune(ledger, horizon_ns, _who(), f"older than {days} days")
    if not dry_run and place.bodies.exists():
        told["bodies"] = body_store(place).prune_and_close(horizon_ns, held)
    show({**told, "done": not dry_run}, output)


def forget(
    principal: Annotated[str, typer.Argument(help="As entries name it, or key:NAME.", show_default=False)],
    reason: ReasonOption = "",
    yes: YesOption = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Make the bodies of a principal's calls unreadable, in copies of the database as well: its key is destroyed.

    Refused while a hold covers the principal. The log itself stays as it is, and verifies.

    Examples: garrison audit forget key:ci --reason "erasure request 12" --yes
    """
    place, ledger = home_of(home, env_name), ledger_of(home, env_name)
    principal = principal_id(place, principal)
    covering = [one.id for one in holds(ledger) if one.principal in ("", principal)]
    if covering:
        hint = f"garrison audit hold release {covering[0]}"
        raise Invalid("audit.held", f"{principal} is under the hold {', '.join(covering)}.", hint)
    if not place.bodies.exists():
        raise NotFound("audit.no_bodies", "No bodies of calls are kept here.", "The setting audit.bodies is off.")
    confirm(f"No body of {principal}'s calls can ever be read again. Destroy the key?", yes)
    store = body_store(place)
    try:
        count, had_key = store.forget(principal)
    finally:
        store.close()
    if not count and not had_key:
        hint = "entries name principals in full, as `garrison audit search` shows them; key:NAME for a key's"
        raise NotFound("audit.no_bodies", f"No bodies of {principal}'s calls are kept here.", hint)
    told = {"principal": principal, "bodies": count, "key_destroyed": had_key}
    record_change(place, "audit.forget", principal, {"bodies": count, "key_destroyed": had_key, "reason": reason})
    show(told, output)


def _who() -> str:
    return f"local:{getpass.getuser()}"


def _retention_days(home: Any) -> int:
    try:
        return int(read_desired(home).settings.ledger.retention_days)
    except NotFound:
        return 0


def _row(one: Hold) -> dict[str, Any]:
    return {
        "id": one.id,
        "principal": one.principal,
        "server": one.server,
        "since": rfc3339(one.since_ns) if one.since_ns else None,
        "until": rfc3339(one.until_ns) if one.until_ns < 2**63 - 1 else None,
        "reason": one.reason,
        "by": one.by,
        "made": rfc3339(one.made_ns),
    }
