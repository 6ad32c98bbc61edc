"""`garrison audit export`: the ledger's entries, in the formats that others read."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from garrison.kernel.errors import Invalid
from garrison.protection.export.formats import cef_lines, ocsf_lines, send, syslog_lines
from garrison.protection.export.receiver import address_of
from garrison.protection.exporting import Format, Request
from garrison.protection.proven import lines as proven_lines
from garrison.surfaces.cli.audit_proofs import ledger_of
from garrison.surfaces.cli.fleet_settings import settings_of_fleet
from garrison.surfaces.cli.options import EnvOption, HomeOption, home_of
from garrison.surfaces.cli.output import say
from garrison.surfaces.policies import outbound

FORMATS: Final[Mapping[str, Format]] = {
    "jsonl": proven_lines,
    "cef": cef_lines,
    "ocsf": ocsf_lines,
    "syslog": syslog_lines,
}
"""Format → the function that makes it, piece by piece (protection/exporting.py)."""


def export(
    form: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")] = "jsonl",
    first: Annotated[int, typer.Option("--from", metavar="SEQ", min=1, help="The first entry.")] = 1,
    last: Annotated[int, typer.Option("--to", metavar="SEQ", min=0, help="The last entry; 0: to the end.")] = 0,
    file: Annotated[
        Path | None, typer.Option("--file", help="Write here (mode 0600) instead of stdout.", show_default=False)
    ] = None,
    receiver: Annotated[
        str,
        typer.Option("--send", metavar="URL", help="To a receiver: syslog+tls://HOST:PORT, …", show_default=False),
    ] = "",
    ca: Annotated[
        str, typer.Option("--ca", metavar="FILE", help="PEM: trust these instead of the system's.", show_default=False)
    ] = "",
    home: HomeOption = None,
    env_name: EnvOption = "",
) -> None:
    """Write entries out. `jsonl` carries the proofs with which others verify it, with the public key and nothing else.

    Examples: garrison audit export > all.jsonl; garrison audit export --format cef --send syslog+tls://siem.example:6514
    """
    if form not in FORMATS:
        raise Invalid("export.format", f"There is no export format {form!r}.", f"one of: {', '.join(FORMATS)}")
    request = Request(ledger_of(home, env_name), first, last)
    if receiver:
        rules = outbound(settings_of_fleet(home_of(home, env_name), env_name)).rules
        say(f"sent {send(request, form, address_of(receiver, ca, rules=rules))} entries")
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if file else os.dup(sys.stdout.fileno())
    with os.fdopen(descriptor, "wb") as out:
        out.writelines(FORMATS[form](request))
