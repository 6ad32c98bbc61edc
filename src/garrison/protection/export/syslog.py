"""Syslog messages (RFC 5424), and how they are framed on a stream (RFC 6587 and RFC 5425: octet counting). Pure.

    <PRI>1 TIME HOST garrison - KIND [garrison@32473 seq="17" principal="…" …] text

Facility 13 is `log audit`. In values `"`, `\\` and `]` are escaped; nothing that is not printable is in them.
32473 is the number that RFC 5612 gives to those who have none of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from garrison.kernel.clock import rfc3339
from garrison.protection.entries import Recorded
from garrison.protection.export.event import Grade, Origin, bounded, grade, reason, rest, sentence

FACILITY: Final = 13
SEVERITIES: Final[dict[Grade, int]] = {"info": 6, "low": 5, "medium": 4, "high": 3, "critical": 2}
SD_ID: Final = "garrison@32473"
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_BOM: Final = "\ufeff"

Render = Callable[[Recorded, Origin], bytes]


def render(one: Recorded, origin: Origin) -> bytes:
    """One message with structured data and a sentence for people; no line break is in it."""
    values = " ".join(f'{name}="{_value(text)}"' for name, text in _values(one) if text)
    return _message(one, origin, f"[{SD_ID} {values}]", sentence(one.entry))


def carrying(inner: Render) -> Render:
    """Messages whose text is what another format makes of the entry, as receivers of CEF expect it."""

    def wrapped(one: Recorded, origin: Origin) -> bytes:
        return _message(one, origin, f'[{SD_ID} seq="{one.seq}"]', inner(one, origin).decode())

    return wrapped


def framed(message: bytes) -> bytes:
    """For a stream: its length in octets, a blank, the message (RFC 6587 section 3.4.1)."""
    return b"%d %b" % (len(message), message)


def _message(one: Recorded, origin: Origin, data: str, text: str) -> bytes:
    entry = one.entry
    priority = FACILITY * 8 + SEVERITIES[grade(entry)]
    head = f"<{priority}>1 {rfc3339(entry.time_ns)} {_word(origin.host, 255)} garrison - {_word(entry.kind, 32)}"
    mark = "" if text.isascii() else _BOM  # which says that the text is UTF-8
    return f"{head} {data} {mark}{text}".encode()


def _values(one: Recorded) -> list[tuple[str, str]]:
    entry = one.entry
    return [
        ("seq", str(one.seq)),
        ("kind", entry.kind),
        ("call", entry.call),
        ("principal", entry.principal),
        ("action", entry.action),
        ("server", entry.server),
        ("target", entry.target),
        ("outcome", entry.outcome),
        ("duration_us", str(entry.duration_us) if entry.kind == "call.outcome" else ""),
        ("reason", reason(entry)),
        ("detail", rest(entry)),
    ]


def _value(text: str) -> str:
    return bounded(text).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _word(text: str, chars_max: int) -> str:
    """PRINTUSASCII; the header has no way to escape anything."""
    return _NOT_PRINTABLE.sub("?", text)[:chars_max] or "-"
