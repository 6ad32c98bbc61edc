"""Values that stand for a value: `YOUR_KEY`, `<token>`, `/path/to/…`, `xxx`, nothing at all."""

from __future__ import annotations

import re

from garrison.catalog.words import word_set

_MARKS = (
    re.compile(r"<[A-Za-z][^<>\n]*>"),
    re.compile(r"(?i)(?<![a-z])your(?:[-_ ]|(?-i:[A-Z]))"),
    re.compile(r"(?i)(?<![a-z])(?:replace|insert|enter|add|put|paste)[-_ ]?(?:me|with|this|your|it|here)(?![a-z])"),
    re.compile(r"(?i)change[-_ ]?(?:me|this)|fill[-_ ]?(?:me|in)|place[-_ ]?holder|^todo$|^dummy"),
    re.compile(r"(?i)[-_ ]here\b"),
    re.compile(r"(?i)(?<![a-z0-9])x{3,}(?![a-z0-9])|x{6,}|\*{3,}|\.{3}$|…|\[[A-Z_ ]*(?:YOUR|KEY|TOKEN)[A-Z_ ]*\]"),
    re.compile(r"(?i)(?:^|[\\/])(?:absolute[\\/])?path[\\/]+to(?:[\\/]|$)"),
    re.compile(
        r"(?i)^(?:/Users|/home|[A-Z]:[\\/]Users)[\\/](?:you|your[-_]?user(?:name)?|username|your[-_]?name)(?:[\\/]|$)"
    ),
    re.compile(r"(?i)://(?:user|username|usr|name)(?::(?:pass|password|pw|pwd|secret))?@"),
    re.compile(r"(?i)^https?://(?:[\w.-]+\.)?example\.(?:com|org|net)\b"),
)
_WORDS = word_set(
    "api-key api_key apikey token key secret pass user:pass my-token mytoken my-api-key secret-key "
    "access-token xxx none null undefined tbd n/a"
)


def is_placeholder(text: str) -> bool:
    """Does the text (without references) only hold the place of a real value?"""
    stripped = text.strip()
    return stripped.lower() in _WORDS or any(mark.search(stripped) for mark in _MARKS)
