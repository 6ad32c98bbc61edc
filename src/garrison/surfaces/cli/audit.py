"""`garrison audit …`: reads the ledger's files, with the fleet up or down."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
import typer

from garrison.kernel.clock import rfc3339
from garrison.protection.entries import Recorded
from garrison.protection.reader import Filter
from garrison.protection.reader import show as show_entries
from garrison.protection.reader import tail as tail_entries
from garrison.surfaces.cli import audit_keeping, audit_proofs
from garrison.surfaces.cli.audit_bodies import bodies_of
from garrison.surfaces.cli.audit_export import export
from garrison.surfaces.cli.audit_search import search
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, say, show
from garrison.surfaces.whose import principal_id
from garrison.telemetry.printable import in_json, one_line

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
COLUMNS = ("seq", "time", "kind", "principal", "action", "server", "target", "outcome", "duration_us")
POLL_S = 0.5


app.command("verify")(audit_proofs.verify)
app.command("checkpoint")(audit_proofs.checkpoint)
app.command("prove")(audit_proofs.prove)
app.command("key")(audit_proofs.key)
app.command("rotate-key")(audit_proofs.rotate_key)
app.command("verifier")(audit_proofs.print_verifier)
app.command("export")(export)
app.command("search")(search)
app.add_typer(audit_keeping.hold_app, name="hold")
app.command("prune")(audit_keeping.prune_now)
app.command("forget")(audit_keeping.forget)


@app.callback()
def audit() -> None:
    """Read, verify and export the ledger.

    Examples: garrison audit tail -f; garrison audit show 17; garrison audit verify; garrison audit export > all.jsonl
    """


@app.command("tail")
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the newest entries.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as entries come, until Ctrl-C.")] = False,
    kind: Annotated[
        str, typer.Option("--kind", help="call.intent, call.outcome, refusal or change.", show_default=False)
    ] = "",
    server: Annotated[str, typer.Option("--server", help="Only this server.", show_default=False)] = "",
    principal: Annotated[str, typer.Option("--principal", help="Only this principal.", show_default=False)] = "",
    action: Annotated[str, typer.Option("--action", help="Only this method or change.", show_default=False)] = "",
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show the newest entries, oldest first: calls, refusals and changes. Times are UTC.

    Examples: garrison audit tail; garrison audit tail --kind refusal -n 100; garrison audit tail -f --output json
    """
    ledger = audit_proofs.ledger_of(home, env_name)
    whose = principal_id(home_of(home, env_name), principal)
    wanted = Filter(kind=kind, server=server, principal=whose, action=action)
    found = tail_entries(ledger, lines, wanted)
    show([_row(one) for one in found], output, COLUMNS)
    last = found[-1].seq if found else 0
    while follow:
        time.sleep(POLL_S)
        fresh = tail_entries(ledger, 1000, msgspec.structs.replace(wanted, after_seq=last))
        last = fresh[-1].seq if fresh else last
        for line in _lines(fresh, output):
            say(line)


@app.command("show")
def show_entry(
    key: Annotated[str, typer.Argument(metavar="NUMBER|CALL", help="An entry, or a call's id.", show_default=False)],
    bodies: Annotated[
        bool, typer.Option("--bodies", help="Decrypt what was asked and answered; that goes on the record.")
    ] = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show one entry in full with its hash, or all entries of a call.

    Examples: garrison audit show 17; garrison audit show 8f2c41d09a7be3356f10c2d4 --bodies
    """
    found = show_entries(audit_proofs.ledger_of(home, env_name), int(key) if key.isdecimal() else key)
    opened = bodies_of(home_of(home, env_name), found) if bodies else {}
    rows = [{**_whole(one), **({"bodies": opened[one.seq]} if one.seq in opened else {})} for one in found]
    if output is not Form.TABLE:
        show(rows, output)
        return
    for row in rows:
        show(row, output)


def _row(recorded: Recorded) -> dict[str, Any]:
    entry = msgspec.structs.asdict(recorded.entry)
    return {"seq": recorded.seq, "time": rfc3339(entry.pop("time_ns")), **entry}


def _whole(recorded: Recorded) -> dict[str, Any]:
    return {**_row(recorded), "hash": recorded.hash}


def _lines(found: Sequence[Recorded], output: Form) -> Iterator[str]:
    """One entry, one line: what follows has no end, so it is no table and no one JSON document."""
    for one in found:
        row = _row(one)
        if output is Form.TABLE:
            yield one_line("  ".join(str(row[column]) for column in COLUMNS if row[column] not in ("", None)))
        else:
            yield in_json(msgspec.json.encode(row).decode())
