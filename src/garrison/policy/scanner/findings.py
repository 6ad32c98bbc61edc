"""What the scanner reports: values with a stable code, the exact place, and an excerpt that is safe to show."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
Kind = Literal["tool", "prompt", "resource", "template", "instructions", "server", "result"]
EXCERPT_CHARS_MAX = 160
_CONTEXT_CHARS = 24

CODES: Final = {
    "scan.hidden_unicode": "characters that nobody sees carry text, or change how it reads",
    "scan.ansi_escape": "a terminal escape sequence hides or rewrites what is shown",
    "scan.control_character": "control characters stand in a text",
    "scan.padding": "text is pushed out of sight by blank space",
    "scan.instruction_override": "the text wants the model to drop the instructions that it has",
    "scan.injected_role": "the text poses as a system message or a privileged block",
    "scan.model_directive": "the text gives the model orders that its user has not given",
    "scan.secrecy": "something is to be kept from the user",
    "scan.approval_bypass": "the user's consent, or a safeguard, is to be left out",
    "scan.exfiltration": "private data is to be read or sent where it does not belong",
    "scan.side_channel": "a parameter collects what the tool does not need",
    "scan.shadowing": "the text steers other tools or servers",
    "scan.cross_server_reference": "the text names a tool of another server",
    "scan.preference": "the text wants to be preferred over all others",
    "scan.credential_request": "the user is to be asked for credentials",
    "scan.dangerous_command": "a command that does harm, or fetches and runs code",
    "scan.encoded_instruction": "an instruction is encoded or disguised",
    "scan.split_instruction": "an instruction is spread over several fields",
    "scan.lookalike_name": "the name looks like another one",
    "scan.size": "the text is larger than any description needs to be",
}
"""Every code, and what it stands for. A code never changes its meaning."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing found. `pointer`: JSON Pointer (RFC 6901) into what was scanned; `start`, `end`: characters of that
    string as it was written. `excerpt` has nothing invisible in it."""

    code: str
    severity: Severity
    server: str
    kind: Kind
    name: str
    pointer: str
    start: int
    end: int
    excerpt: str
    why: str


def rank(severity: Severity) -> int:
    return SEVERITIES.index(severity)


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity among them; None where there are none."""
    return max((finding.severity for finding in findings), key=rank, default=None)


def excerpt(text: str, start: int, end: int) -> str:
    """What was found with a little around it, on one line, bounded; whatever cannot be seen is written out."""
    begin = max(0, start - _CONTEXT_CHARS)
    shown = text[begin : min(len(text), end + _CONTEXT_CHARS, begin + EXCERPT_CHARS_MAX)]
    visible = "".join(map(_visible, shown))[:EXCERPT_CHARS_MAX]
    return ("…" if begin else "") + visible + ("…" if end + _CONTEXT_CHARS < len(text) else "")


def _visible(char: str) -> str:
    if char in "\n\r\t":
        return " "
    if char.isprintable() and not unicodedata.combining(char) and not is_invisible(char):
        return char
    return f"⟨U+{ord(char):04X}⟩"


def is_invisible(char: str) -> bool:
    """Characters without a width of their own: formats, variation selectors, fillers."""
    code = ord(char)
    return (
        0xFE00 <= code <= 0xFE0F
        or 0xE0000 <= code <= 0xE0FFF
        or code in (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)
        or unicodedata.category(char) == "Cf"
    )
