"""`garrison audit search`: who did what, when, with what outcome."""

from __future__ import annotations

from typing import Annotated

import typer

from garrison.protection.search import LIMIT_MAX
from garrison.protection.search import search as search_ledger
from garrison.surfaces.cli.audit_proofs import ledger_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, show, tell
from garrison.surfaces.ledger_questions import query_of, row_of
from garrison.surfaces.whose import principal_id

COLUMNS = ("seq", "time", "kind", "principal", "action", "server", "target", "outcome", "duration_us")
SinceOption = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="2h, 7d, or 2026-11-22T08:30:00Z.", show_default=False)
]
UntilOption = Annotated[str, typer.Option("--until", metavar="WHEN", help="As --since.", show_default=False)]


def search(
    principal: Annotated[
        str, typer.Option("--principal", help="Who asked: as entries name him, or key:NAME.", show_default=False)
    ] = "",
    tool: Annotated[
        str, typer.Option("--tool", help="A tool, prompt or URI by its own name at its server.", show_default=False)
    ] = "",
    server: Annotated[str, typer.Option("--server", help="Which server.", show_default=False)] = "",
    since: SinceOption = "",
    until: UntilOption = "",
    outcome: Annotated[
        str, typer.Option("--outcome", help="ok, tool_error, an error's code; failed: all but ok.", show_default=False)
    ] = "",
    kind: Annotated[
        str, typer.Option("--kind", help="call.intent, call.outcome, refusal or change.", show_default=False)
    ] = "",
    method: Annotated[
        str, typer.Option("--method", help="tools/call, …, or the name of a change.", show_default=False)
    ] = "",
    call: Annotated[str, typer.Option("--call", help="A call's id.", show_default=False)] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=LIMIT_MAX, help="Entries of one page.")] = 50,
    before: Annotated[
        int, typer.Option("--before", metavar="SEQ", min=0, help="The next page: what is older.", show_default=False)
    ] = 0,
    scan: Annotated[bool, typer.Option("--scan", help="Read the whole ledger, without its index.")] = False,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Find entries, newest first. All that is given must hold. Times are UTC.

    Examples: garrison audit search --principal key:ci --since 2h; garrison audit search --outcome failed
    """
    whose = principal_id(home_of(home, env_name), principal)
    wanted = {"kind": kind, "call": call, "principal": whose, "method": method, "server": server, "tool": tool}
    query = query_of({**wanted, "outcome": outcome, "since": since, "until": until}, before, limit)
    found = search_ledger(ledger_of(home, env_name), query, indexed=not scan)
    rows = [row_of(one) for one in found.entries]
    if output is not Form.TABLE:
        show({"entries": rows, "next": found.next}, output)
        return
    show(rows, output, COLUMNS)
    if found.next:
        tell(f"there are more: --before {found.next}")
