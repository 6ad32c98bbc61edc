"""CEF, version 0: ArcSight's Common Event Format, which most SIEMs read. Pure.

    CEF:0|Garrison|Garrison|VERSION|SIGNATURE|NAME|SEVERITY|key=value key=value …

In the header `\\` and `|` are escaped, in values `\\`, `=` and line breaks; nothing else of a text can end its field.
"""

from __future__ import annotations

from typing import Final

from garrison.kernel.clock import rfc3339
from garrison.protection.entries import Entry, Recorded
from garrison.protection.export.event import Grade, Origin, bounded, grade, members, reason, rest, source_ip

SEVERITIES: Final[dict[Grade, int]] = {"info": 1, "low": 3, "medium": 5, "high": 7, "critical": 10}
_NAMES: Final = {
    "call.intent": "call about to be made",
    "call.outcome": "call ended",
    "refusal": "request refused",
    "change": "change made",
}


def render(one: Recorded, origin: Origin) -> bytes:
    """One event on one line, without its end."""
    entry = one.entry
    signature = entry.action if entry.kind == "change" else entry.kind
    head = ("Garrison", "Garrison", origin.version, signature, _NAMES.get(entry.kind, entry.kind))
    header = "|".join(["CEF:0", *map(_header, head), str(SEVERITIES[grade(entry)])])
    pairs = " ".join(f"{name}={_value(text)}" for name, text in _extension(one, origin) if text)
    return f"{header}|{pairs}".encode()


def _extension(one: Recorded, origin: Origin) -> list[tuple[str, str]]:
    """Keys of the format's dictionary; what it has no key for is in labelled custom ones."""
    entry = one.entry
    return [
        ("rt", str(entry.time_ns // 1_000_000)),
        ("dvchost", origin.host if origin.host != "-" else ""),
        ("externalId", str(one.seq)),
        ("cat", entry.kind),
        ("suser", entry.principal),
        ("src", source_ip(entry)),
        ("requestClientApplication", str(members(entry).get("client", ""))),
        ("act", entry.action),
        ("destinationServiceName", entry.server),
        ("outcome", entry.outcome),
        ("reason", reason(entry)),
        *_labelled("cs1", "target", entry.target),
        *_labelled("cs2", "call", entry.call),
        *_labelled("cs3", "detail", rest(entry)),
        *_labelled("cs4", "time", rfc3339(entry.time_ns)),
        *_labelled("cn1", "durationMicroseconds", _duration(entry)),
    ]


def _labelled(key: str, label: str, text: str) -> list[tuple[str, str]]:
    return [(f"{key}Label", label), (key, text)] if text else []


def _duration(entry: Entry) -> str:
    return str(entry.duration_us) if entry.kind == "call.outcome" else ""


def _header(text: str) -> str:
    return bounded(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    """Line breaks are kept as the format has them; of the rest, what is not printable is shown."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\\n".join(bounded(line).replace("\\", "\\\\").replace("=", "\\=") for line in lines)
