"""What ran at a moment, told by the changes on the ledger up to then. Pure.

A node that is killed records no end of its servers; the start of the next one says that they are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from garrison.protection.entries import Entry

STATES: Final = {
    "server.started": "running",
    "server.restarted": "running",
    "server.failed": "backoff",
    "server.fatal": "fatal",
    "server.stopped": "stopped",
}


class Stay(msgspec.Struct):
    """A server as it was: spec: the revision that it ran by; since_ns: from when on; why: as recorded."""

    state: str
    spec: str = ""
    since_ns: int = 0
    why: str = ""


class Standing(msgspec.Struct):
    """is_up: whether a node served. version: of the snapshot. by, since_ns: who brought that about, and when."""

    is_up: bool = False
    version: str = ""
    by: str = ""
    since_ns: int = 0
    url: str = ""
    servers: dict[str, Stay] = {}
    makers: dict[str, str] = {}
    """Who made each key, by its name."""


def standing(changes: Iterable[Entry]) -> Standing:
    """`changes`: in order, up to the moment; other kinds of entries are passed over."""
    found, numbered = Standing(), dict[str, dict[int, Stay]]()
    for entry in changes:
        if entry.kind == "change":
            _take_in(found, numbered, entry)
    found.servers = {name: _best(list(each.values())) for name, each in numbered.items()}
    return found


def _take_in(found: Standing, numbered: dict[str, dict[int, Stay]], entry: Entry) -> None:
    detail: dict[str, Any] = dict(entry.detail or {})
    if entry.action in ("fleet.started", "fleet.applied"):
        found.version = str(detail.get("snapshot") or detail.get("after", ""))
        found.by, found.since_ns, found.is_up = entry.principal, entry.time_ns, True
        found.url = str(detail.get("url", found.url))
    if entry.action in ("fleet.started", "fleet.stopped"):
        numbered.clear()
        found.is_up = entry.action == "fleet.started"
    elif entry.action in STATES:
        each = numbered.setdefault(entry.server, {})
        number = int(detail.get("number", 1))
        before = each.get(number, Stay(""))
        why = str(detail.get("why") or detail.get("reason") or "")
        each[number] = Stay(STATES[entry.action], str(detail.get("spec", before.spec)), entry.time_ns, why)
    elif entry.action == "keys.create":
        found.makers[entry.target] = entry.principal


def _best(each: list[Stay]) -> Stay:
    """A server with several instances runs while one of them does."""
    return next((one for one in each if one.state == "running"), each[-1])
