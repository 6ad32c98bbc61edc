# ruff: noqa: E501 (tables and patterns read better on one line)
"""Whether what has the shape of a secret can be one: entropy, checksums, placeholders. Pure."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections import Counter
from itertools import pairwise
from math import log2
from typing import Final

import msgspec

_PLACEHOLDER: Final = re.compile(
    r"example|sample|placeholder|dummy|x{4,}|\*{3,}|\.{3,}|…|redacted|masked|insert|replace|change-?_?me|changeit|fixme|todo|<[^>]*>|\{\{|\$\{|\$\(|%\(|^\$[A-Za-z_]"
    r"|your[-_ ]?|my[-_](?:api|secret|token|key|pass)|(?:api|secret|token|access)[-_]?key[-_]?here|_here$|0{8,}|1{8,}|a{8,}|01234567|12345678(?!\d{5}:)|abcdefgh|deadbeef|qwertyui"
    r"|foobar|lorem|notreal|not-a-real|fake|mock|undefined|hidden|obfuscated|truncated|secret[-_]?goes|removed|asdf",
    re.IGNORECASE,
)  # fmt: skip
_WORDS: Final = re.compile(r"[A-Za-z]?[a-z]*(?:[-_. ][A-Za-z]?[a-z]+)*")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WEAK: Final = frozenset(
    [
        "password",
        "passwd",
        "pass",
        "pwd",
        "secret",
        "token",
        "key",
        "string",
        "text",
        "none",
        "null",
        "true",
        "false",
        "yes",
        "no",
        "required",
        "optional",
        "user",
        "admin",
        "root",
        "postgres",
        "mysql",
        "guest",
        "test",
        "hunter2",
        "default",
        "localhost",
        "value",
        "hash",
        "encrypted",
        "bcrypt",
        "plaintext",
        "reset",
        "changed",
        "invalid",
        "expired",
        "missing",
        "empty",
        "unset",
        "n/a",
        "na",
        "basic",
        "bearer",
    ]
)
_EXAMPLES: Final = frozenset(
    [
        "4eC39HqLyjWDarjtT1zdp7dc",
        "BQokikJOvBiI2HlWgH4olfQ2",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    ]
)
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def entropy(text: str) -> float:
    """Shannon's, in bits for each character."""
    size = len(text)
    return -sum(count / size * log2(count / size) for count in Counter(text).values()) if size else 0.0


def is_placeholder(text: str) -> bool:
    """Whether this stands for a secret and is none: `<token>`, `sk-xxxx`, `AKIAIOSFODNN7EXAMPLE`, `${KEY}`."""
    return bool(_PLACEHOLDER.search(text)) or text in _EXAMPLES or _runs_on(text)


def _runs_on(text: str) -> bool:
    """One or two characters again and again, or a row that counts up."""
    if len(set(text)) <= 3 and len(text) >= 6:
        return True
    steps = [ord(after) - ord(before) for before, after in pairwise(text)]
    return len(steps) >= 8 and (steps.count(1) >= 0.7 * len(steps) or steps.count(0) >= 0.6 * len(steps))


def is_random(text: str) -> bool:
    """Whether it is long and varied enough to be a key: of hexadecimal digits, or of letters and digits."""
    if is_placeholder(text):
        return False
    if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", text):
        return entropy(text) >= 2.7 and len(set(text)) >= 8
    return entropy(text) >= (3.0 if len(text) < 32 else 3.2)


def is_keyed_value(text: str) -> bool:
    """Whether a value that is called token, key or secret is one: no word, path, address, number or id."""
    if len(text) < 12 or is_placeholder(text) or _WORDS.fullmatch(text) or _UUID.fullmatch(text):
        return False
    if "://" in text or text.startswith(
        ("/", "./", "~/", "arn:", "projects/", "urn:", "data:", "@", "#", "secret:", "env:", "vault:")
    ):
        return False
    if re.fullmatch(r"[\d.,:+-]+|v?\d+(?:\.\d+)+\S*|\d{4}-\d\d-\d\dT?\S*", text):
        return False
    if re.search(
        r"[()\[\]{}<>]|::|\.\w+\(|^process\.env|^os\.environ|^(?:self|this|config|settings|request|ctx)\.", text
    ):
        return False
    return bool(re.search(r"\d", text)) and bool(re.search(r"[A-Za-z]", text)) and entropy(text) >= 2.9


def is_password(text: str) -> bool:
    """Whether a value that is called a password is one and no word about passwords."""
    if len(text) < 6 or is_placeholder(text) or text.lower().strip("\"'") in _WEAK or "://" in text:
        return False
    if re.search(
        r"^(?:[$%<{[(]|process\.env|os\.environ|self\.|this\.|config\.|env\.|secret[:/]|vault[:/]|get\w*\()|[()<>{}\[\]]{2}|\(\)$",
        text,
    ):
        return False
    kinds = sum(bool(re.search(kind, text)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w\s]"))
    return kinds >= 2 and len(set(text)) >= 4 and not _WORDS.fullmatch(text)


def is_jwt(text: str) -> bool:
    """RFC 7519: the header is a JSON object that names an algorithm, and it is nobody's textbook example."""
    try:
        head = text.split(".", 1)[0]
        found = msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return False
    return isinstance(found, dict) and ("alg" in found or "enc" in found) and text.rsplit(".", 1)[-1] not in _EXAMPLES


def is_github(text: str) -> bool:
    """The last six characters are the CRC-32 of those before, in base 62. Older tokens have none: entropy decides."""
    prefix, _, body = text.partition("_")
    return bool(prefix) and (_checksum(body[:-6]) == body[-6:] or is_random(body))


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits.rjust(6, "0")


def is_luhn(text: str) -> bool:
    """ISO/IEC 7812-1, annex B; the numbers of manuals for testing are no cards."""
    digits = [int(char) for char in text if char.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    doubled = [sum(divmod(2 * digit, 10)) if index % 2 else digit for index, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


_IBAN_CHARS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24,
    "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29,
    "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24,
    "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


def is_iban(text: str) -> bool:
    """ISO 13616: the country's length, and the remainder by 97."""
    flat = re.sub(r"[ -]", "", text).upper()
    if _IBAN_CHARS.get(flat[:2]) != len(flat):
        return False
    return int("".join(str(int(char, 36)) for char in flat[4:] + flat[:4])) % 97 == 1


def is_ssn(text: str) -> bool:
    """Numbers that the US authority gives out, but for those of advertisements."""
    area, group, serial = re.split(r"[- ]", text)
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000" and text not in (
        "078-05-1120", "219-09-9999", "123-45-6789"
    )  # fmt: skip


def is_userinfo(text: str) -> bool:
    """The password of `scheme://user:password@host`."""
    return len(text) >= 3 and not is_placeholder(text) and text.lower() not in _WEAK and not re.match(r"[$%{<\[]", text)
