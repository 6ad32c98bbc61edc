"""MCP's HTTP headers and the codec for values that do not fit into one (2026-07-28, transports)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

SESSION = "mcp-session-id"
VERSION = "mcp-protocol-version"
METHOD = "mcp-method"
NAME = "mcp-name"
PARAM_PREFIX = "mcp-param-"

_SAFE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_WRAPPED = re.compile(r"=\?base64\?(.*)\?=")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Headers(dict[str, str]):
    """HTTP headers of messages of one kind, never changed: known by identity, so that what is made of them is kept."""

    __hash__ = object.__hash__  # type: ignore[assignment]


@lru_cache(1024)
def encode_value(value: str) -> str:
    """`value` itself where it is printable ASCII without outer spaces, else `=?base64?…?=`: never a line break."""
    if _SAFE.fullmatch(value) and not _WRAPPED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def decode_value(value: str) -> str | None:
    """The inverse of `encode_value`; None when the wrapping is malformed, so that it can never match by accident."""
    wrapped = _WRAPPED.fullmatch(value)
    if wrapped is None:
        return value
    payload = wrapped.group(1)
    try:
        content = base64.b64decode(payload, validate=True)
        return content.decode() if base64.b64encode(content).decode() == payload else None
    except ValueError:  # no base64, or no UTF-8 in it
        return None


def param_headers(input_schema: object, arguments: dict[str, Any]) -> dict[str, str]:
    """`Mcp-Param-*` headers that a `tools/call` owes: one for each argument whose schema says `x-mcp-header`."""
    found: dict[str, str] = {}
    for path, token in _annotated(input_schema, ()):
        value: Any = arguments
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (str, int, float)):
            rendered = str(value).lower() if isinstance(value, bool) else str(value)
            found[PARAM_PREFIX + token.lower()] = encode_value(rendered)
    return found


def header_names(input_schema: object) -> frozenset[str]:
    """All `Mcp-Param-*` headers that a schema asks for."""
    return frozenset(PARAM_PREFIX + token.lower() for _, token in _annotated(input_schema, ()))


def _annotated(schema: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if len(path) > 16 or not isinstance(schema, dict):
        return
    token = schema.get("x-mcp-header")
    if path and isinstance(token, str) and _TOKEN.fullmatch(token):
        yield path, token
    properties = schema.get("properties")
    for key, value in properties.items() if isinstance(properties, dict) else ():
        yield from _annotated(value, (*path, key))
