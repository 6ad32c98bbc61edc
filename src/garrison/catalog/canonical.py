"""JSON in the one form that is hashed: RFC 8785 (JSON Canonicalization Scheme). Pure.

Members sorted by their names' UTF-16 code units, no blanks, strings with as few escapes as can be, numbers as
ECMAScript writes them. One thing is otherwise: whole numbers beyond 2^53 are kept exact, so that no change of them is
lost, where the RFC would round them.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from garrison.kernel.errors import Invalid

_FIXED_DIGITS_MAX = 21
_ZEROS_MAX = 6
_string = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: Any) -> str:
    """`value` as JSON has it: dict, list, str, int, float, bool, None.

    Raises `Invalid` for anything else, for NaN and infinity, and for what is nested too deeply.
    """
    try:
        return _text(value)
    except RecursionError as error:
        raise Invalid("json.depth", "this is nested too deeply") from error


def digest(value: Any) -> str:
    """SHA-256 over the canonical form, in hexadecimal. What has none (nested too deeply) is hashed as it is written."""
    try:
        found = canonical(value).encode("utf-8", "surrogatepass")
    except Invalid:
        found = b"not canonical " + msgspec.json.encode(value, order="sorted")
    return sha256(found).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_string(name)}:{_text(one)}" for name, one in members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    raise Invalid("json.type", f"{type(value).__name__} is nothing that JSON has")


def _number(value: float) -> str:
    """ECMAScript's Number::toString (ECMA-262, 6.1.6.1.20); Python finds the same shortest digits."""
    if not math.isfinite(value):
        raise Invalid("json.number", "JSON has no NaN and no infinity")
    sign, shortest, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, shortest)).rstrip("0")
    if not digits:
        return "0"
    point = len(shortest) + int(exponent)
    return ("-" if sign else "") + _laid_out(digits, point)


def _laid_out(digits: str, point: int) -> str:
    """`point`: how many digits stand before the decimal point."""
    if len(digits) <= point <= _FIXED_DIGITS_MAX:
        return digits + "0" * (point - len(digits))
    if 0 < point <= _FIXED_DIGITS_MAX:
        return f"{digits[:point]}.{digits[point:]}"
    if -_ZEROS_MAX < point <= 0:
        return f"0.{'0' * -point}{digits}"
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{mantissa}e{point - 1:+d}"
