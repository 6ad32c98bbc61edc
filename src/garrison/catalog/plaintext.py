"""Where a secret stands in a text: by the name it has, by its shape, by its place in a URL or a connection string.

Pure; gives stretches of the text, never texts. References and placeholders are no secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from garrison.catalog.placeholders import is_placeholder
from garrison.catalog.references import literals
from garrison.catalog.words import word_set
from garrison.telemetry.secret_shapes import KNOWN

Span = tuple[int, int]

_WEBHOOK: Final = re.compile(r"https://(?:hooks\.slack\.com/services|discord(?:app)?\.com/api/webhooks)/([^\s\"'?#]+)")
_USERINFO: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^\s/?#@:]*)(?::([^\s/]*))?@")
_QUERY: Final = re.compile(r"[?&;#]([A-Za-z0-9_.-]+)=([^&#\s\"']+)")
_CONNECTION: Final = re.compile(
    r"(?i)(?<![A-Za-z])(?:password|passwd|pwd|account_?key|shared_?access_?key|access_?token|api_?key|client_?secret)"
    r"\s*=\s*([^;\s&\"']+)"
)
_HEADER_INSIDE: Final = re.compile(
    r"(?i)(?<![a-z-])(?:authorization|(?:x-)?api-?key|x-[a-z-]*token)\s*:\s*(?:bearer\s+|basic\s+|token\s+)?([^\s\"',;]+)"
)
_BEARER: Final = re.compile(r"(?i)(?<![a-z])(?:bearer|basic)\s+([a-z0-9._~+/=-]{8,})")
_SCRIPT_WORD: Final = re.compile(
    r"(?:^|(?<=[\s;&\"'(]))(?:([A-Za-z_]\w*)=|(--?[A-Za-z][\w-]*)(?:=|[ \t]+))[\"']?([^\s\"';&|]+)"
)
_SCHEME: Final = re.compile(r"(?i)^\s*(?:(?:bearer|basic|token|apikey|api-key|key)[ :]+)?(?=\S)")
_HEADER_LINE: Final = re.compile(r"^([A-Za-z][A-Za-z0-9-]*)\s*:\s*(.+)$", re.DOTALL)
_ASSIGNMENT: Final = re.compile(r"^(-{0,2}[A-Za-z_][\w.-]*)=(.*)$", re.DOTALL)
_NAME_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SEGMENT: Final = re.compile(r"(?<=/)[A-Za-z0-9_~.-]{20,}(?=[/?#]|$)")

_PATH: Final = re.compile(r"(?:/|\.{1,2}/|~/)")
_NUMBER: Final = re.compile(r"[\d.,:/+-]+")
_DIGITS_MAX: Final = 12
_BETWEEN_WORDS: Final = re.compile(r"[\s_.,:;/@+-]+")
_WORD: Final = re.compile(r"|[A-Z]?[a-z]{1,15}|[A-Z]{1,15}|v?\d{1,4}")

_SECRET_WORDS = word_set(
    "token secret password passwd pwd passphrase apikey pat credential credentials bearer jwt cookie "
    "authorization auth apitoken authtoken accesstoken secretkey accesskey privatekey pass pin"
)
_KEY_ENDINGS_HARMLESS = word_set(
    "public project primary foreign issue sort partition cache registry host routing group object"
)
_HARMLESS_LAST = word_set(
    "file path dir url uri endpoint type limit max min ttl count name id header env var expiry expires "
    "length size method mode provider enabled timeout scope scopes audience issuer server host port "
    "domain prefix algorithm field location budget helper backend store storage command"
)
_HARMLESS_VALUES = word_set("true false yes no on off none null auto default 0 1 oauth basic bearer")


def is_secret_name(name: str) -> bool:
    """Does a variable, header, option or parameter of this name hold a secret?"""
    words = [word.lower() for word in _NAME_WORDS.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    if not words or words[-1] in _HARMLESS_LAST:
        return False
    if words[-1] in ("key", "keys"):
        return len(words) < 2 or words[-2] not in _KEY_ENDINGS_HARMLESS
    return bool(_SECRET_WORDS & set(words)) or words[-1].endswith(("password", "passwd", "apikey", "secret", "token"))


def in_env(name: str, text: str) -> list[Span]:
    """In the value of an environment variable."""
    if is_secret_name(name) and (span := _whole(text)):
        inside = _anywhere(text)
        return inside if inside and "://" in text else [span]
    return _anywhere(text)


def without_scheme(text: str) -> str:
    """`Bearer X` is `X`."""
    match = _SCHEME.match(text)
    return text[match.end() :] if match else text


def is_plain(text: str) -> bool:
    """Can a value of whatever name be shown: a number, a path, an address without credentials, or plain words?"""
    value = text.strip()
    if value.lower() in _HARMLESS_VALUES:
        return True
    if _PATH.match(value) or "://" in value:
        return not in_url(value) and not any(map(_random, re.split(r"[/?&=#]", value)))
    if _NUMBER.fullmatch(value):
        return sum(char.isdigit() for char in value) <= _DIGITS_MAX
    return all(map(_WORD.fullmatch, _BETWEEN_WORDS.split(value)))


def in_header(name: str, text: str) -> list[Span]:
    """In the value of a header; the scheme (`Bearer `) is not part of the secret."""
    if is_secret_name(name):
        match = _SCHEME.match(text)
        start = match.end() if match else 0
        if _is_value(text, start, len(text)):
            return [(start, len(text))]
    return _anywhere(text)


def in_url(text: str) -> list[Span]:
    """In the address of a server, its path included: some servers are protected by nothing else."""
    found = _anywhere(text)
    for match in _SEGMENT.finditer(text):
        if _random(match[0]) and not _overlaps(match.span(), found) and _is_value(text, *match.span()):
            found.append(match.span())
    return sorted(found)


def in_argument(text: str, before: str) -> list[Span]:
    """In one word of a command line; `before` is the word before it."""
    if (match := _HEADER_LINE.match(text)) and "://" not in text[: match.start(2)] + text[match.start(2) - 1 :][:3]:
        return [(a + match.start(2), b + match.start(2)) for a, b in in_header(match[1], match[2])]
    if " " in text.strip():
        return _in_script(text)
    if match := _ASSIGNMENT.match(text):
        offset = match.start(2)
        return [(a + offset, b + offset) for a, b in in_env(match[1], match[2])]
    if before.startswith("-") and "=" not in before and not text.startswith("-") and is_secret_name(before):
        return in_env(before, text)
    return in_url(text) if text.startswith(("http://", "https://")) else _anywhere(text)


def key_of_argument(text: str, before: str) -> str:
    """A short name for a secret in this word: its option's, its variable's or its header's."""
    for pattern in (_HEADER_LINE, _ASSIGNMENT):
        match = pattern.match(text)
        if match and "://" not in match[1] and len(match[1]) <= 40 and not _random(match[1]):
            return match[1].strip("-")
    if before.startswith("-") and len(before) <= 40 and not _random(before):
        return before.strip("-").partition("=")[0]
    return "ARGUMENT"


# ── below ──


def _in_script(text: str) -> list[Span]:
    """In a line for a shell: `TOKEN=… program --api-key …`."""
    found = _anywhere(text)
    for match in _SCRIPT_WORD.finditer(text):
        span, name = match.span(3), match[1] or match[2]
        if is_secret_name(name) and match[3][0] != "-" and not _overlaps(span, found) and _is_value(text, *span):
            found.append(span)
    return sorted(found)


def _whole(text: str) -> Span | None:
    """All of the text, if it can be a secret."""
    stripped = text.strip()
    path_like = stripped.startswith(("/", "./", "../", "~/")) and not _random(stripped)
    if path_like or stripped.lower() in _HARMLESS_VALUES or not _is_value(text, 0, len(text)):
        return None
    return (0, len(text))


def _is_value(text: str, start: int, end: int) -> bool:
    """Is the stretch written out, neither reference nor placeholder nor empty?"""
    piece = text[start:end].strip()
    written = any(max(a, start) == start and min(b, end) == end for a, b in literals(text))
    return bool(piece) and written and piece.lower() not in _HARMLESS_VALUES and not is_placeholder(piece)


def _anywhere(text: str) -> list[Span]:
    found: list[Span] = []
    for span in _candidates(text):
        if span[0] < span[1] and not _overlaps(span, found) and _is_value(text, *span):
            found.append(span)
    return sorted(found)


def _candidates(text: str) -> Iterator[Span]:
    for match in _USERINFO.finditer(text):
        if match[2] is not None:
            yield match.span(2)
        elif _random(match[1]):
            yield match.span(1)
    for pattern, group in ((KNOWN, 0), (_WEBHOOK, 1), (_CONNECTION, 1), (_HEADER_INSIDE, 1), (_BEARER, 1)):
        for match in pattern.finditer(text):
            yield match.span(group)
    for match in _QUERY.finditer(text):
        if is_secret_name(match[1]) or match[1].lower() in ("sig", "signature", "code"):
            yield match.span(2)


def _overlaps(span: Span, others: list[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


def _random(word: str) -> bool:
    """Long, and of the kind that generators make: hexadecimal, or letters and digits mixed without words."""
    bare = word.replace("-", "").replace("_", "")
    if len(bare) >= 32 and re.fullmatch(r"[0-9a-fA-F]+", bare):
        return True
    digits = sum(char.isdigit() for char in bare)
    return len(bare) >= 20 and digits >= 3 and len(bare) - digits >= 3 and len(word) - len(bare) <= len(word) // 8
