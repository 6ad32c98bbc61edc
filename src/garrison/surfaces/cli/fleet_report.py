"""The fleet as a result: one object for scripts, a table and how to connect for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from garrison.catalog.problems import Problem
from garrison.kernel.home import Home
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.output import Form, Row, say, show

COLUMNS: Final = ("name", "state", "era", "tools", "startup_s", "error", "hint")
FIRST: Final = ("name", "state", "era", "tools", "error")
"""Scripts rely on these members of a server; others may follow."""

CONFLICTS_TOLD: Final = 10
"""In the table's company; more would push it off the screen."""

MORE: Final = ("public_url", "workers", "tls", "limits", "forwarding")
"""Of a status, where there is such a thing."""

GOOD: Final = frozenset({"running", "stopped"})
"""Stopped: a lazy server that waits for its first call, or one that is switched off."""


def report_of(home: Home, status: Mapping[str, Any], left_out: Mapping[str, Problem] | None = None) -> dict[str, Any]:
    """`url`, `key_file`, `pid`, `servers` first; scripts rely on them."""
    known = {row["name"] for row in status["servers"]}
    spoilt = [_left_out(name, problem) for name, problem in (left_out or {}).items() if name not in known]
    return {
        "url": status["url"],
        "key_file": str(home.admin_key),
        "pid": status["pid"],
        "servers": [*(_ordered(row) for row in status["servers"]), *spoilt],
        "version": status["version"],
        "snapshot": status["snapshot"],
        "settled": status["settled"],
        "profiles": status.get("profiles", []),
        "conflicts": status.get("conflicts", []),
        **{name: status[name] for name in MORE if name in status},
    }


def exit_code(servers: Iterable[Row]) -> int:
    """Degraded as soon as one server does not run, or did not answer when it was verified."""
    return exits.OK if all(_is_good(row) for row in servers) else exits.DEGRADED


def show_report(report: Mapping[str, Any], form: Form) -> None:
    if form is not Form.TABLE:
        show(report, form)
        return
    columns = (*COLUMNS, "verified") if any("verified" in row for row in report["servers"]) else COLUMNS
    show([_short(row) for row in report["servers"]], form, with_instances(columns, report["servers"]))
    _tell_conflicts(report["conflicts"])
    _tell_workers(report.get("workers", []))
    _tell_troubles(report)
    say(how_to_connect(report.get("public_url", report["url"]), report["key_file"], report["profiles"]))


def _tell_workers(workers: Iterable[Row]) -> None:
    """Those that are not as they should be."""
    for row in workers:
        if row["state"] != "running":
            say(f"worker {row['number']} is {row['state']}; the log may tell why: garrison logs")


def _tell_troubles(report: Mapping[str, Any]) -> None:
    """What does not end a call, and what somebody should know all the same."""
    for problem in report.get("tls", {}).get("problems", []):
        say(f"TLS: {problem}")
    if (shared := report.get("limits", {}).get("shared", "")).startswith("away"):
        say(f"limits that are counted together: Redis is {shared}")
    if problem := report.get("forwarding", {}).get("problem"):
        say(f"forwarding of the ledger to {report['forwarding']['to']}: {problem}")


def with_instances(columns: tuple[str, ...], servers: Iterable[Row]) -> tuple[str, ...]:
    """The columns of a table; how many instances run is told where a server has several."""
    if not any(row.get("instances", {}).get("wanted", 1) > 1 for row in servers):
        return columns
    place = columns.index("state") + 1
    return (*columns[:place], "instances", *columns[place:])


def in_short(row: Row) -> dict[str, Any]:
    """For tables: so many of so many instances run, in a word."""
    found = row.get("instances")
    return {**row, "instances": f"{found['ready']}/{found['wanted']}" if found else None}


def how_to_connect(url: str, key_file: str, profiles: Iterable[Row] = ()) -> str:
    """The key itself is never printed: terminals and logs are kept."""
    entry = {"type": "http", "url": f"{url}/mcp", "headers": {"Authorization": "Bearer ${GARRISON_KEY}"}}
    snippet = json.dumps({"mcpServers": {"garrison": entry}}, indent=2)
    return (
        f"\nAll servers at    {url}/mcp\n"
        f"One server at     {url}/servers/NAME/mcp\n"
        f"{''.join(_profile_line(url, profile) for profile in profiles)}"
        f"Key               {key_file}\n\n"
        f"To connect a client:\n\n"
        f'  export GARRISON_KEY="$(cat {key_file})"\n\n'
        f"and in its .mcp.json:\n\n{_indented(snippet)}\n"
    )


def _tell_conflicts(conflicts: list[Row]) -> None:
    for conflict in conflicts[:CONFLICTS_TOLD]:
        say(f"{conflict['path']}: {conflict['why']}")
    if len(conflicts) > CONFLICTS_TOLD:
        say(f"and {len(conflicts) - CONFLICTS_TOLD} more names that are not shown as asked (--output json has all)")


def _profile_line(url: str, profile: Row) -> str:
    told = f"  ({profile['tools']} tools of {', '.join(profile['servers']) or 'no server'})"
    return f"Profile           {url}{profile['path']}{told}\n"


def _ordered(row: Row) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in FIRST}
    return {**{name: row.get(name) for name in FIRST}, **rest}


def _left_out(name: str, problem: Problem) -> dict[str, Any]:
    error = f"{problem.place}: {problem.message.partition(': ')[2]}"
    row: dict[str, Any] = {"name": name, "state": "fatal", "era": "", "tools": None, "error": error}
    return {**row, "hint": problem.hint, "startup_s": 0.0}


def _is_good(row: Row) -> bool:
    return row["state"] in GOOD and row.get("verified", {"ok": True})["ok"]


def _short(row: Row) -> dict[str, Any]:
    """For the table: the proof of the call in a word, the start-up time only where there was a start."""
    proof = row.get("verified")
    told = proof["error"] or f"{proof['tool'] or 'tools/list'} in {proof['took_ms']} ms" if proof else None
    return {**in_short(row), "startup_s": row.get("startup_s") or None, "verified": told}


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
