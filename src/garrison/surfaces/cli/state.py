"""`garrison state`: what was desired and what ran at a moment, told by the ledger."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import Invalid
from garrison.surfaces.cli.audit_proofs import ledger_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, say, show
from garrison.surfaces.former_state import changes_between, difference, state_at
from garrison.surfaces.moments import moment_ns

app = typer.Typer(add_completion=False, rich_markup_mode=None)
SERVERS = ("name", "state", "spec", "since", "why")
KEYS = ("name", "prefix", "roles", "by", "created")
DIFFERENCES = ("what", "name", "before", "after")
CHANGES = ("seq", "time", "principal", "action", "server", "target", "detail")


@app.command("state")
def state(
    at: Annotated[str, typer.Option("--at", metavar="WHEN", help="2h (ago), or 2026-11-22T08:30:00Z.")] = "0s",
    diff: Annotated[
        str, typer.Option("--diff", metavar="WHEN", help="Compare with this later moment.", show_default=False)
    ] = "",
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show the fleet as it was: servers with the revision they ran by, roles, profiles, keys that worked.

    It is made of the changes on the ledger; `garrison audit verify` says whether those are what was written.

    Examples: garrison state --at 2h; garrison state --at 2026-11-22T08:30:00Z --diff 0s; garrison state --output json
    """
    place, ledger, now_ns = home_of(home, env_name), ledger_of(home, env_name), SystemClock().wall_ns()
    at_ns = moment_ns(at, now_ns)
    found = state_at(place, ledger, at_ns)
    if not diff:
        _show(found, output)
        return
    other_ns = moment_ns(diff, now_ns)
    if other_ns < at_ns:
        raise Invalid("state.order", "--diff is earlier than --at.", "--at 2h --diff 1h compares forwards")
    other = state_at(place, ledger, other_ns)
    told = {"differences": difference(found, other), "changes": changes_between(ledger, at_ns, other_ns)}
    if output is not Form.TABLE:
        show({"at": found["at"], "diff": other["at"], **told}, output)
        return
    show(told["differences"], output, DIFFERENCES)
    say("\nChanges between:")
    show(told["changes"], output, CHANGES)


def _show(found: dict[str, Any], output: Form) -> None:
    if output is not Form.TABLE:
        show(found, output)
        return
    said, version = "up" if found["up"] else "not up", found["snapshot"] or "-"
    say(f"At {found['at']} the fleet was {said}: snapshot {version} since {found['since']} by {found['by'] or '-'}")
    if found["catalog"] == "unknown" and found["snapshot"]:
        say("That snapshot is not at hand any more: only what ran is known.")
    show(found["servers"], output, SERVERS)
    say(f"Roles: {', '.join(found['roles']) or 'none'}. Profiles: {', '.join(found['profiles']) or 'none'}. Keys:")
    show(found["keys"], output, KEYS)
