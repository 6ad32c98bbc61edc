"""What every format needs of an entry: how grave it is, where it came from, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal

import msgspec

from garrison import __version__
from garrison.protection.entries import GAP, Entry
from garrison.telemetry.printable import in_json, one_line

Grade = Literal["info", "low", "medium", "high", "critical"]
TEXT_CHARS_MAX = 1024
"""Of one field as it is sent: receivers take messages of a few KB."""
_ALARMING = frozenset({GAP, "ledger.key"})


@dataclass(frozen=True)
class Origin:
    """Who reports: host name, and the version of the program."""

    host: str = "-"
    version: str = __version__


def grade(entry: Entry) -> Grade:
    """A refusal deserves a look, a damaged ledger gets people out of bed."""
    if entry.kind == "change":
        return "critical" if entry.action in _ALARMING and entry.outcome != "rotated" else "low"
    if entry.kind == "refusal":
        return "medium"
    if entry.kind == "call.intent" or entry.outcome in ("ok", "tool_error"):
        return "info"
    return "low"


def is_good(entry: Entry) -> bool | None:
    """None while it is not known, as of an intent."""
    if entry.kind == "call.intent":
        return None
    return (entry.kind == "change" and entry.action not in _ALARMING) or entry.outcome == "ok"


def members(entry: Entry) -> dict[str, Any]:
    return dict(entry.detail) if entry.detail else {}


def source_ip(entry: Entry) -> str:
    """The address that the request came from; empty where there is none."""
    try:
        return str(ip_address(str(members(entry).get("from", ""))))
    except ValueError:
        return ""


def reason(entry: Entry) -> str:
    """Why it was refused, failed or done."""
    found = members(entry)
    return str(found.get("why") or found.get("reason") or "")


def rest(entry: Entry) -> str:
    """The detail as JSON, on one line."""
    return in_json(msgspec.json.encode(entry.detail).decode()) if entry.detail else ""


def sentence(entry: Entry) -> str:
    """For people: who did what to what, and what came of it."""
    where = "/".join(part for part in (entry.server, entry.target) if part)
    words = (entry.principal or "nobody known", entry.action, where, entry.outcome)
    return bounded(" ".join(word for word in words if word))


def bounded(text: str) -> str:
    """One harmless line, not longer than a receiver takes."""
    shown = one_line(text)
    return shown if len(shown) <= TEXT_CHARS_MAX else shown[: TEXT_CHARS_MAX - 1] + "…"
