# ruff: noqa: E501 (tables and patterns read better on one line)
"""What does not show: invisible characters, text direction, terminal sequences, text pushed out of sight.

Emoji (joined, coloured, with skin tones, flags of regions), Persian and Indic joiners and marks of texts that are
written from right to left are what they are meant to be, and no findings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from garrison.policy.scanner.findings import Severity

SIZE_CHARS_MAX: Final = 20_000


class Hidden(NamedTuple):
    """A stretch of a text that hides something; `text` is what it says, where it says something."""

    code: str
    severity: Severity
    why: str
    start: int
    end: int
    text: str = ""


_FLAG: Final = r"\U0001F3F4[\U000E0061-\U000E007A\U000E0030-\U000E0039]{2,7}\U000E007F"
_TAGS: Final = re.compile(rf"{_FLAG}|([\U000E0000-\U000E007F]+)")
_SUPPLEMENT: Final = re.compile(r"([\U000E0100-\U000E01EF]{2,}|[\uFE00-\uFE0F]{2,})")
_INVISIBLE: Final = re.compile(
    r"[\u200B-\u200F\u2060-\u2065\u206A-\u206F\uFEFF\u00AD\u034F\u115F\u1160\u180B-\u180E\u3164\uFFA0\u17B4\u17B5\uFFF9-\uFFFB\U0001D173-\U0001D17A]+"
)
_BIDI: Final = re.compile(r"[\u202A-\u202E\u2066-\u2069]+")
ANSI: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-9:;<=>?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?"
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\x80-\x8f\x91-\x97\x99\x9a\x9c]+")
_PADDING: Final = re.compile(
    r"(?:[ \t\u00a0\u2000-\u200a\u3000\u2800]*\n){24,}|[ \t\u00a0\u2000-\u200a\u3000\u2800]{160,}"
)
_PLAIN: Final = re.compile(r"[\t\n\r -~]*")
_LTR_OVERRIDES: Final = frozenset("\u202d\u202e")


def hidden(text: str) -> Iterator[Hidden]:
    """Everything of that kind in the text, kind by kind."""
    yield from _sized(text)
    for gap in _PADDING.finditer(text):
        if text[gap.end() :].strip() and text[: gap.start()].strip():
            yield Hidden("scan.padding", "medium", "text stands behind a long stretch of blank space", *gap.span())
    if _PLAIN.fullmatch(text):
        return
    for escape in ANSI.finditer(text):
        yield Hidden("scan.ansi_escape", "high", "a terminal escape sequence", *escape.span())
    for controls in _CONTROLS.finditer(text):
        severity: Severity = "medium" if "\x08" in controls[0] or len(controls[0]) > 1 else "low"
        yield Hidden("scan.control_character", severity, "control characters", *controls.span())
    yield from _unicode(text)


def _sized(text: str) -> Iterator[Hidden]:
    if len(text) > SIZE_CHARS_MAX:
        severity: Severity = "medium"
        yield Hidden(
            "scan.size", severity, f"{len(text)} characters, of which the rules read the first {SIZE_CHARS_MAX}", 0, 1
        )


def _unicode(text: str) -> Iterator[Hidden]:
    for tags in _TAGS.finditer(text):
        if tags[1]:
            said = "".join(chr(ord(char) - 0xE0000) for char in tags[1] if 0xE0020 <= ord(char) < 0xE007F)
            yield Hidden("scan.hidden_unicode", "critical", f"tag characters say {said[:120]!r}", *tags.span(), said)
    for row in _SUPPLEMENT.finditer(text):
        said = bytes(_selected(char) for char in row[0]).decode("utf-8", "replace")
        yield Hidden(
            "scan.hidden_unicode", "high", "a row of variation selectors can carry any text", *row.span(), said
        )
    for row in _INVISIBLE.finditer(text):
        if not _belongs(text, *row.span()):
            long = len(row[0]) >= 4
            severity: Severity = "high" if long else "medium"
            yield Hidden(
                "scan.hidden_unicode", severity, "zero-width characters", *row.span(), _bits(row[0]) if long else ""
            )
    yield from _directions(text)


def _selected(char: str) -> int:
    """Which byte a variation selector stands for, in the usual way of hiding bytes in them."""
    code = ord(char)
    return code - 0xFE00 if code < 0xE0100 else code - 0xE0100 + 16


def _bits(row: str) -> str:
    """What a row of two different zero-width characters says when they are read as bits."""
    signs = sorted(set(row))
    if len(signs) != 2 or len(row) < 16:
        return ""
    bits = "".join("01"[signs.index(char)] for char in row)
    octets = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))
    return octets.decode("ascii", "ignore")


def _belongs(text: str, start: int, end: int) -> bool:
    """Whether single invisible characters stand where writing needs them."""
    row, before, after = text[start:end], text[start - 1 : start], text[end : end + 1]
    if row == "\ufeff":
        return start == 0
    if row == "\u00ad":
        return before.isalpha() and after.isalpha() and text.count("\u00ad") <= max(2, len(text) // 40)
    if row == "\u200d":
        return (_is_emoji(before) and _is_emoji(after)) or _joins(before) or _joins(after)
    if row == "\u200c":
        return _joins(before)
    if row in ("\u200e", "\u200f"):
        return any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in text[max(0, start - 40) : end + 40])
    return row == "\u200b" and any(
        "\u0e00" <= char <= "\u0eff" or "\u1780" <= char <= "\u17ff" for char in before + after
    )


def _is_emoji(char: str) -> bool:
    return bool(char) and (unicodedata.category(char) in ("So", "Sk", "Mn") or char in "\u2640\u2642\u26a7\ufe0f\u2764")


def _joins(char: str) -> bool:
    """Letters of scripts that are joined: Arabic, Syriac, those of India and South-East Asia, Mongolian."""
    return bool(char) and (
        "\u0600" <= char <= "\u08ff"
        or "\u0900" <= char <= "\u109f"
        or "\u1780" <= char <= "\u18af"
        or "\ufb50" <= char <= "\ufefc"
    )


def _directions(text: str) -> Iterator[Hidden]:
    """Embeddings and isolates are what texts from right to left need; overrides turn readable text around."""
    found = list(_BIDI.finditer(text))
    if not found:
        return
    from_right = any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)
    for controls in found:
        if not from_right or _LTR_OVERRIDES & set(controls[0]):
            why = "controls of text direction change how the text reads"
            yield Hidden("scan.hidden_unicode", "high", why, *controls.span())
