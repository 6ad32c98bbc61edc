"""JSON objects from strangers: read so that no two readers can understand them differently (RFC 8259, RFC 7493)."""

from __future__ import annotations

import json
from typing import Any

DEPTH_MAX = 16


class NotStrict(ValueError):
    """It is no JSON object that everybody reads alike. The text says why, in words of our own."""


def read_object(data: bytes, size_bytes_max: int) -> dict[str, Any]:
    """Raises `NotStrict`: too large, not UTF-8, a member twice, NaN, half characters, too deep, no object."""
    if len(data) > size_bytes_max:
        raise NotStrict(f"larger than {size_bytes_max} bytes")
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    except NotStrict:
        raise
    except (ValueError, RecursionError):
        raise NotStrict("not valid JSON") from None
    if not isinstance(found, dict):
        raise NotStrict("no JSON object")
    _check_depth(found)
    _check_text(found)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("a member stands twice")
    return found


def _constant(name: str) -> Any:
    raise NotStrict("a number that JSON does not know")


def _check_text(found: dict[str, Any]) -> None:
    """Half a surrogate pair, which JSON can spell and Unicode does not know, is text to some readers only."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotStrict("half a character") from None


def _check_depth(found: Any) -> None:
    level = [found]
    for _ in range(DEPTH_MAX):
        level = [inner for one in level for inner in _inside(one)]
    if level:
        raise NotStrict(f"deeper than {DEPTH_MAX}")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
