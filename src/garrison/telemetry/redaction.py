"""Masking of secrets in whatever is written: logs, ledger entries, errors.

Three nets: values that somebody registered are masked wherever they appear; things that look like a credential
(a garrison key, `Bearer …`, the user part of a URL, `password=…`) are masked by shape; fields with a telling
name lose their whole value. Every pattern is linear in the text.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from urllib.parse import quote

from garrison.telemetry.secret_shapes import KNOWN, known_in

MASK = "[redacted]"
SECRET_CHARS_MIN = 6
"""Shorter registered values are not masked: they would blank out ordinary words."""
LINE_CHARS_MIN = 16
DEPTH_MAX = 8

_TELLING = (
    r"authorization|cookie|passw(?:or)?d|passwd|passphrase|secret|token|api[-_ ]?key|access[-_]?key|private[-_]?key"
    r"|credentials?|x-api-key|session[-_]?id"
)
_TELLING_NAME = re.compile(_TELLING, re.IGNORECASE)
_INNOCENT_NAME = re.compile(r"(?:_count|_s|_ms|_max|_total|tokens|_url|_uri|_file|_endpoint)$", re.IGNORECASE)
# `name=value`, `name: value`, `"name": "value"`. A quoted value ends at its own quote that is not escaped; a bare one
# at a blank, a quote, `&`, `;` or `, `. Where in doubt, too much is masked.
_QUOTED = r"""(?<=")(?:\\.|[^"\\\r\n])+|(?<=')(?:\\.|[^'\\\r\n])+"""
_VALUE = rf"""(?:{_QUOTED}|(?:[^\s"'&,;\\]|,(?!\s)|\\(?!["']))+)"""
_NAMED = rf"""(?:{_TELLING})[\w-]{{0,32}}\\?["']?\s{{0,4}}[=:]\s{{0,4}}\\?["']?"""
_ASSIGNED = re.compile(rf"({_NAMED}(?:(?:bearer|basic|digest)\s{{1,4}})?){_VALUE}", re.IGNORECASE)
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"gsn_(?:([A-Za-z0-9]{8})_)?[A-Za-z0-9_-]{2,}"), rf"gsn_\1_{MASK}"),
    (re.compile(r"\b(cookie|authorization)(\s{0,4}:\s{0,4})[^\r\n\"']+", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(r"\b(bearer)(\s{1,4})[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(r"\b((?i:basic)\s{1,4})(?=[a-z]*[A-Z0-9+/=])[A-Za-z0-9+/]{4,}={0,2}"), rf"\1{MASK}"),
    (re.compile(rf"(--[\w-]{{0,32}}(?:{_TELLING})[\w-]{{0,32}}\s{{1,4}})[^\s\"']+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(://)[^\s/?#\"']{1,512}@"), rf"\1{MASK}@"),
    (_ASSIGNED, rf"\1{MASK}"),
    (KNOWN, MASK),
)
# Every telling name and every shape but those that `suspects` looks for itself holds one of these.
_HINTS = ("bearer", "authoriz", "cookie", "pass", "secret", "token", "key", "credential", "session", "basic")


class Redactor:
    """Masks text and values. One per process (`redactor`), so that everybody registers with and asks the same one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._probes: tuple[str, ...] = ()
        self.version = 0
        """Grows with each new value: what was found harmless before may not be any more."""

    def add(self, value: str) -> None:
        """Mask this value from now on, also as it looks escaped in JSON or `repr` and percent-encoded."""
        forms = {form for part in _parts(value) for form in _forms(part)}
        with self._lock:
            if forms <= self._values:
                return
            self._values |= forms
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
            self._probes = tuple(longest_first)
            self.version += 1

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        if not self.suspects(text, names_too=True):  # which nearly every text is: a tenth of the cost
            return text
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        for pattern, replacement in _SHAPES:
            text = pattern.sub(replacement, text)
        return text

    def value(self, value: object, name: str = "", depth: int = 0) -> object:
        """A JSON-able copy with every secret masked; `name` is the field that holds it."""
        if name and is_telling(name) and value not in (None, "", True, False):
            return MASK
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if value - value == 0 else str(value)  # JSON has no NaN and no infinities
        if depth >= DEPTH_MAX:
            return "…"
        if isinstance(value, Mapping):
            return {self.text(_string(k)): self.value(v, _string(k), depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, "", depth + 1) for item in value]
        return self.text(_string(value))

    def suspects(self, text: str, names_too: bool = False) -> bool:
        """A quick look that costs about a microsecond: might there be a secret in this short text?

        Meant for the hot path, where most data are harmless: if so, mask with `value`. It knows registered values,
        garrison keys, bearer values, URLs with a user part or a query, and credentials that their form gives away;
        telling names only with `names_too`.
        """
        if "gsn_" in text or "earer " in text or ("://" in text and ("@" in text or "?" in text)):
            return True
        if known_in(text):
            return True
        for probe in self._probes:  # a generator inside any() costs three times as much here
            if probe in text:
                return True
        return names_too and _hints_at_a_secret(text.lower())


def _hints_at_a_secret(lowered: str) -> bool:
    for hint in _HINTS:  # noqa: SIM110 (see above)
        if hint in lowered:
            return True
    return False


def is_telling(name: str) -> bool:
    """Does this field's name say that it holds a secret? (`token_count` and `token_url` do not.)"""
    return _TELLING_NAME.search(name) is not None and _INNOCENT_NAME.search(name) is None


def _parts(value: str) -> set[str]:
    """The value, and each long line of it: a private key must not leak line by line."""
    lines = {line.strip() for line in value.splitlines()}
    return {part for part in lines if len(part) >= LINE_CHARS_MIN} | {value.strip()}


def _forms(part: str) -> set[str]:
    plain = json.dumps(part, ensure_ascii=False)[1:-1]
    forms = {
        part,
        plain,
        json.dumps(part)[1:-1],
        repr(part)[1:-1],
        quote(part, safe="", errors="replace"),
        quote(part, errors="replace"),
    }
    return {form for form in forms if len(form) >= SECRET_CHARS_MIN}


def _string(value: object) -> str:
    try:
        return value if isinstance(value, str) else str(value)
    except Exception as error:  # noqa: BLE001 (boundary: a stranger's __str__ must not end the logging)
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"


redactor = Redactor()
