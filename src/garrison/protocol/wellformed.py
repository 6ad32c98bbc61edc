"""What every JSON text from outside must be, beyond being JSON: each member once, nothing nested too deeply.

Two readers can take a text with a repeated member for two different things, and so can two that fold case where one
does not; what was judged would then not be what is done. The checks cost a few scans in C: a Python loop runs over a
text only when something is wrong with it, or a scan cannot tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from garrison.protocol.messages import decode_any, encode

DEPTH_MAX = 64
_SPELT_COLON = b"\\u003"
"""How a colon inside a text may be spelt without one."""
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PAIR = re.compile(rb"\[\]|\{\}")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


class NotStrict(ValueError):
    """It is no JSON object that everybody reads alike. The text says why, in words of our own."""


def read_object(data: bytes, size_bytes_max: int, depth_max: int = DEPTH_MAX) -> dict[str, Any]:
    """A whole object from a stranger (RFC 7493). Raises `NotStrict`: too large, flawed, not UTF-8, no object."""
    if len(data) > size_bytes_max:
        raise NotStrict(f"it is larger than {size_bytes_max} bytes")
    try:
        found = decode_any(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise NotStrict("it is no valid JSON") from None
    if not isinstance(found, dict):
        raise NotStrict("it is no JSON object")
    if why := flaw(data, depth_max):
        raise NotStrict(why)
    return found


def flaw(body: bytes | bytearray, depth_max: int = DEPTH_MAX) -> str:
    """What is wrong with a JSON text, in words; empty when nothing is."""
    if _may_be_deep(body, depth_max) and _is_deep(body, depth_max):
        return f"it is nested deeper than {depth_max} levels"
    if _SPELT_COLON not in body and body.count(b":") == _colons_when_written_anew(body):
        return ""
    name = _repeated(body)
    return "" if name is None else f"the member {name[:100]!r} stands there twice"


def is_plain(body: bytes | bytearray, colons: int) -> bool:
    """Whether a scan can tell that nothing is wrong. `colons`: how many the text has when written anew."""
    return body.count(b":") == colons and _SPELT_COLON not in body and colons + body.count(b"[") < DEPTH_MAX


def folded(names: Iterable[str], known: frozenset[str]) -> str | None:
    """A name that a reader who folds case would take for one of `known`; None if there is none."""
    return next((name for name in names if name not in known and name.lower() in known), None)


def _may_be_deep(body: bytes | bytearray, depth_max: int) -> bool:
    """No level without a bracket, and none of objects without a colon."""
    return body.count(b":") + body.count(b"[") >= depth_max


def _is_deep(body: bytes | bytearray, depth_max: int) -> bool:
    left = _TEXT.sub(b"", body).translate(None, _NO_BRACKET)
    for _ in range(depth_max):  # each round takes away the innermost level
        left = _PAIR.sub(b"", left)
        if not left:
            return False
    return True


def _colons_when_written_anew(body: bytes | bytearray) -> int:
    """Each member once; -1 for what JSON allows and cannot be read, as a number out of range."""
    try:
        return encode(decode_any(body)).count(b":")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return -1


class _RepeatedError(Exception):
    """Carries the member's name."""


def _repeated(body: bytes | bytearray) -> str | None:
    """The first member that an object has twice."""

    def unique(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _RepeatedError(name)
            seen.add(name)

    try:
        json.loads(body, object_pairs_hook=unique)
    except _RepeatedError as found:
        return str(found)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return "?"
    return None
