"""`garrison scan`: looks for orders to the model, hidden characters and look-alike names in what servers offer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from garrison.kernel.errors import Invalid
from garrison.policy.scanner.findings import CODES, SEVERITIES, Finding, Severity, rank
from garrison.policy.scanner.scan import Offered, scan_fleet
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.node_client import client_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, home_of
from garrison.surfaces.cli.output import Form, say, show, tell
from garrison.surfaces.cli.sarif import sarif

app = typer.Typer(add_completion=False, rich_markup_mode=None)
COLUMNS: Final = ("severity", "code", "server", "name", "pointer", "excerpt", "why")
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
_LISTS: Final = {"tools": "tools", "prompts": "prompts", "resources": "resources", "resourceTemplates": "templates"}


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    SARIF = "sarif"


@app.command()
def scan(
    server: Annotated[
        str, typer.Argument(metavar="[SERVER]", help="One server; all without it.", show_default=False)
    ] = "",
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", metavar="FILE", help="Definitions as JSON instead of the fleet.", show_default=False),
    ] = None,
    least: Annotated[
        str,
        typer.Option("--severity", metavar="LEVEL", help="Show, and fail for, this or worse: " + ", ".join(SEVERITIES)),
    ] = "medium",
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: Annotated[Output, typer.Option("--output", "-o", help="How results are printed.")] = Output.TABLE,
) -> None:
    """Scan what servers offer: names, descriptions, schemas, instructions, prompts, resources.

    A file holds a result of tools/list, a list of tools, one tool, or {"servers": {NAME: {"tools": […]}}}.
    Ends with 1 when anything was found. Codes are explained in docs/screening.md.

    Examples: garrison scan; garrison scan git; garrison scan --file tools.json --output sarif
    """
    threshold = _severity(least)
    if file:
        found = scan_fleet([one for path in file for one in _read(path)])
        found = [finding for finding in found if server in ("", finding.server)]
    else:
        body = client_of(home_of(home, env_name)).scan(server)
        found = msgspec.convert(body["findings"], list[Finding])
    kept = sorted((one for one in found if rank(one.severity) >= rank(threshold)), key=_order)
    _print(kept, output, str(file[0]) if file and len(file) == 1 else "")
    if kept:
        raise typer.Exit(exits.FOUND)


def _order(finding: Finding) -> tuple[int, str, str]:
    return -rank(finding.severity), finding.server, finding.pointer


def _severity(text: str) -> Severity:
    for severity in SEVERITIES:
        if severity == text:
            return severity
    raise Invalid("scan.severity", f"{text!r} is no severity", "one of " + ", ".join(SEVERITIES))


def _print(found: list[Finding], output: Output, file: str) -> None:
    if output is Output.SARIF:
        say(json.dumps(sarif(found, file), indent=2))
    elif output is Output.TABLE and not found:
        tell("nothing found")
    else:
        rows = [{**msgspec.to_builtins(finding), "about": CODES[finding.code]} for finding in found]
        show(rows, Form(output.value), COLUMNS)


def _read(path: Path) -> Iterator[Offered]:
    """The servers of a file; without names of their own they are called as the file is."""
    try:
        whole = path.read_bytes()[: FILE_BYTES_MAX + 1]
        value = msgspec.json.decode(whole)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("scan.file", f"{path} cannot be read: {error}", "a JSON file with definitions") from error
    servers = value.get("servers") if isinstance(value, dict) else None
    if isinstance(servers, dict):
        for name, content in servers.items():
            yield _offered(str(name), content)
    else:
        yield _offered(path.stem, value)


def _offered(name: str, value: Any) -> Offered:
    if isinstance(value, dict) and isinstance(value.get("result"), dict):
        value = value["result"]
    if isinstance(value, dict) and not (_LISTS.keys() | {"instructions"}) & value.keys():
        value = [value]
    if isinstance(value, list):
        value = {"tools": value}
    if not isinstance(value, dict):
        raise Invalid("scan.file", f"there are no definitions in {name}", "a list of tools, or an object with `tools`")
    lists = {field: [one for one in value.get(key) or () if isinstance(one, dict)] for key, field in _LISTS.items()}
    instructions = value.get("instructions")
    return Offered(name, instructions if isinstance(instructions, str) else "", **lists)
