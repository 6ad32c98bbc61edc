# ruff: noqa: E501 (patterns read better on one line)
"""Where in a text the things are that screening is for. Pure; gives stretches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from garrison.catalog.screening import Category
from garrison.policy.scanner.findings import rank
from garrison.policy.scanner.hidden import ANSI, hidden
from garrison.policy.scanner.reading import read
from garrison.policy.screening.checks import is_iban, is_luhn, is_ssn
from garrison.policy.screening.finding import Stretch
from garrison.policy.screening.prefilter import Hit
from garrison.policy.screening.secrets import SECRETS

BLOB_CHARS: Final = 200
"""Base64 that goes on so far around a match is an image or a file, and the match an accident."""
READ_CHARS_MAX: Final = 200_000
_BASE64_RUN: Final = re.compile(r"[A-Za-z0-9+/]*")
_URL: Final = re.compile(r"https?://[^\s\"'<>)\]}\\]{1,8000}")
_IMAGE: Final = re.compile(
    r"!\[[^\]\n]{0,200}\]\(\s*(?P<u>(?:https?:)?//[^\s)]{1,8000})|<img\s[^>]{0,400}?src\s*=\s*[\"'\\]{0,2}(?P<v>(?:https?:)?//[^\s\"'>\\]{1,8000})",
    re.IGNORECASE,
)
_LONG_QUERY_CHARS: Final = 200
_CARRIES: Final = re.compile(
    r"[?&#;](?:data|d|c|secret|payload|exfil|content|msg|text|b64|body|log|leak|dump|info|token|key|q|p|x)=[A-Za-z0-9%+/_=.-]{40,}|[A-Za-z0-9+_-]{120,}={0,2}|\{\{?[a-z_]+\}?\}|%7B",
    re.IGNORECASE,
)
_SIGNED: Final = re.compile(
    r"[?&](?:X-Amz-Signature|Signature|sig|X-Goog-Signature|Expires|hdnea|token|jwt|utm_\w+)=", re.IGNORECASE
)
_PII: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...]] = (
    ("email", re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9-])"), lambda text: not re.search(r"@(?:example|test|localhost|invalid)\b|\.(?:png|jpe?g|gif|svg|local)$|^git@|noreply", text)),
    ("card-number", re.compile(r"(?<![\d.+-])(?:\d[ -]?){12,18}\d(?![\d.-])"), lambda text: is_luhn(text) and text.lstrip()[0] in "23456"),
    ("iban", re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Za-z0-9])"), is_iban),
    ("social-security-number", re.compile(r"(?<![\d-])\d{3}([- ])\d{2}\1\d{4}(?![\d-])"), is_ssn),
    ("phone-number", re.compile(r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[ .-]\d{3}[ .-]\d{4})(?![\w-]|\.\d)"), lambda text: 8 <= sum(map(str.isdigit, text)) <= 15),
)  # fmt: skip


def stretches(text: str, hits: Iterable[Hit]) -> list[Stretch]:
    """All that the hits lead to, in order and apart from each other; the earlier category goes before."""
    found: list[Stretch] = []
    wanted: dict[Category, list[int]] = {}
    for category, index in hits:
        wanted.setdefault(category, []).append(index)
    for category, indexes in wanted.items():
        for one in _LOOK[category](text, indexes):
            if not any(one.start < other.end and other.start < one.end for other in found):
                found.append(one)
    return sorted(found)


def _secrets(text: str, indexes: list[int]) -> Iterator[Stretch]:
    for index in sorted(indexes):
        kind = SECRETS[index]
        for match in kind.shape.finditer(text):
            if kind.holds(match["s"]) and not _in_blob(text, *match.span("s")):
                start = match.start("s") if _is_named(kind.name) else _begins(text, match.start(), match.start("s"))
                yield Stretch(start, match.end("s"), "secrets", kind.name)


def _is_named(kind: str) -> bool:
    """Whether what stands before the secret is not of the secret itself."""
    return kind in _NAMED


_NAMED: Final = frozenset(
    kind.name for kind in SECRETS if not re.match(r"\(\?<!", kind.shape.pattern) or "[:=]" in kind.shape.pattern
)


def _begins(text: str, whole: int, secret: int) -> int:
    """A token is masked with its prefix."""
    return min(secret, whole)


def _in_blob(text: str, start: int, end: int) -> bool:
    after = _BASE64_RUN.match(text, end)
    if after is not None and after.end() - end > BLOB_CHARS:
        return True
    before = text[max(0, start - BLOB_CHARS - 1) : start]
    run = re.search(r"[A-Za-z0-9+/]*$", before)
    return run is not None and len(run[0]) > BLOB_CHARS


def _ansi(text: str, indexes: list[int]) -> Iterator[Stretch]:
    for escape in ANSI.finditer(text):
        yield Stretch(*escape.span(), "ansi", "escape-sequence")
    for control in _CONTROL.finditer(text):
        yield Stretch(*control.span(), "ansi", "control-character")


_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\x80-\x9f]+")


def _hidden(text: str, indexes: list[int]) -> Iterator[Stretch]:
    for found in hidden(text):
        if found.code == "scan.hidden_unicode":
            yield Stretch(found.start, found.end, "hidden_unicode", "tags" if "tag " in found.why else "invisible")


def _links(text: str, indexes: list[int]) -> Iterator[Stretch]:
    """An image is fetched without a click: it needs less to carry data away than a link does."""
    images = {
        match.start("u") if match["u"] else match.start("v"): match["u"] or match["v"]
        for match in _IMAGE.finditer(text)
    }
    for start, address in images.items():
        if _query_chars(address) > 60 or _CARRIES.search(address):
            yield Stretch(start, start + len(address), "links", "image")
    for match in _URL.finditer(text):
        address = match[0]
        far = _query_chars(address) > _LONG_QUERY_CHARS and not _SIGNED.search(address)
        if match.start() not in images and (
            far or (_query_chars(address) > 60 and _CARRIES.search(address) and not _SIGNED.search(address))
        ):
            yield Stretch(*match.span(), "links", "link")


def _query_chars(address: str) -> int:
    return len(address) - min((at for sign in "?#;" if (at := address.find(sign)) >= 0), default=len(address))


def _pii(text: str, indexes: list[int]) -> Iterator[Stretch]:
    for kind, shape, holds in _PII:
        for match in shape.finditer(text):
            if holds(match[0]) and not _in_blob(text, *match.span()):
                yield Stretch(*match.span(), "pii", kind)


def _instructions(text: str, indexes: list[int]) -> Iterator[Stretch]:
    for hit in read(text[:READ_CHARS_MAX]):
        if rank(hit.severity) >= rank("high") and hit.code not in _OTHERS:
            yield Stretch(hit.start, hit.end, "instructions", hit.code.removeprefix("scan."))


_OTHERS: Final = frozenset(
    {"scan.hidden_unicode", "scan.ansi_escape", "scan.control_character", "scan.size", "scan.padding"}
)
_LOOK: Final[dict[Category, Callable[[str, list[int]], Iterator[Stretch]]]] = {
    "secrets": _secrets,
    "ansi": _ansi,
    "hidden_unicode": _hidden,
    "links": _links,
    "pii": _pii,
    "instructions": _instructions,
}
