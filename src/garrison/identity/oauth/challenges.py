"""What a server says of the credential that it wants: the Bearer challenge in `WWW-Authenticate`. Pure.

RFC 9110 (11.6.1) for the grammar, RFC 6750 (3) for `error` and `scope`, RFC 9728 (5.1) for `resource_metadata`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

CHARS_MAX = 8192
SCOPES_MAX = 64
_PART = re.compile(
    r"\s*,?\s*(?:(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<bare>[^\s,\"]+))"
    r"|(?P<scheme>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?=\s|,|$))"
)
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")


class Wanted(NamedTuple):
    """What the server wants. Empty where it says nothing."""

    resource_metadata: str = ""
    scopes: tuple[str, ...] = ()
    error: str = ""


def wanted(header: str) -> Wanted:
    """Of a `WWW-Authenticate` header, which may hold several challenges: the first for Bearer."""
    found: dict[str, str] = {}
    is_bearer, position, header = False, 0, header[:CHARS_MAX]
    while match := _PART.match(header, position):
        position = match.end()
        if match["scheme"]:
            if is_bearer:
                break
            is_bearer = match["scheme"].lower() == "bearer"
        elif is_bearer:
            value = re.sub(r"\\(.)", r"\1", match["quoted"]) if match["quoted"] is not None else match["bare"]
            found.setdefault(match["name"].lower(), value)
    return Wanted(found.get("resource_metadata", ""), scopes_of(found.get("scope", "")), found.get("error", ""))


def scopes_of(text: str) -> tuple[str, ...]:
    """The scopes in a text, each once; what is no scope is left out."""
    found = [word for word in text.split(" ") if _SCOPE.fullmatch(word)]
    return tuple(dict.fromkeys(found))[:SCOPES_MAX]


def is_step_up(status: int, header: str) -> bool:
    """Whether another token could help: none or a bad one was shown (401), or one that allows too little (403)."""
    return status == 401 or (status == 403 and wanted(header).error == "insufficient_scope")
