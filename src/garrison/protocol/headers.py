"""MCP's HTTP headers and the codec for values that do not fit into one (2026-07-28, transports)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

SESSION = "mcp-session-id"
VERSION = "mcp-protocol-version"
METHOD = "mcp-method"
NAME = "mcp-name"
PARAM_PREFIX = "mcp-param-"
MARK: Final = "x-mcp-header"
"""On a property of a tool's input schema: its argument is sent as a header too."""

Path = tuple[str, ...]
"""Names of properties, from the outermost."""

_SAFE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_WRAPPED = re.compile(r"=\?base64\?(.*)\?=")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MIRRORED_TYPES = frozenset({"string", "integer", "boolean"})
# The keywords of JSON Schema 2020-12 that hold schemas; what is mere data, or behind a $ref, is not looked into.
_HOLDS_SCHEMA = frozenset(
    {"items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties"}
    | {"not", "if", "then", "else", "contentSchema"}
)
_HOLDS_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_HOLDS_MAP = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})


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
    for path, token in _annotated(input_schema):
        value: Any = arguments
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (str, int, float)):
            rendered = str(value).lower() if isinstance(value, bool) else str(value)
            found[PARAM_PREFIX + token.lower()] = encode_value(rendered)
    return found


def header_names(input_schema: object) -> frozenset[str]:
    """All `Mcp-Param-*` headers that a schema asks for."""
    return frozenset(PARAM_PREFIX + token.lower() for _, token in _annotated(input_schema))


def header_flaw(input_schema: object) -> str:
    """Why the schema's `x-mcp-header` marks must not be used; empty if they may, or if there are none.

    2026-07-28, Streamable HTTP, custom headers: a mark stands on a property that `properties` alone lead to, whose
    type is string, integer or boolean, and holds a token that no other mark has in any case. A client drops the tool
    otherwise.
    """
    seen: set[str] = set()
    for path, schema in _positions(input_schema):
        if MARK not in schema:
            continue
        token, kind = schema[MARK], schema.get("type")
        if not path:
            return f"{MARK} stands where no property is"
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            return f"{MARK} of {_shown(path)} is no name for a header"
        if not isinstance(kind, str) or kind not in _MIRRORED_TYPES:
            return f"{MARK} of {_shown(path)} is not on a string, integer or boolean"
        if token.lower() in seen:
            return f"{MARK} of {_shown(path)} is another property's too"
        seen.add(token.lower())
    return ""


def _shown(path: Path) -> str:
    return ascii(".".join(path)[:80])


def _annotated(schema: object) -> Iterator[tuple[Path, str]]:
    for path, each in _positions(schema):
        token = each.get(MARK)
        if path and isinstance(token, str) and _TOKEN.fullmatch(token):
            yield path, token


def _positions(root: object) -> Iterator[tuple[Path | None, dict[str, Any]]]:
    """Every schema in the schema, with the properties that lead to it: None where other keywords do as well."""
    found: list[tuple[Path | None, object]] = [((), root)]
    while found:
        path, schema = found.pop()
        if not isinstance(schema, dict):
            continue
        yield path, schema
        for keyword, value in schema.items():
            if keyword == "properties" and isinstance(value, dict):
                found += [((*path, name) if path is not None else None, each) for name, each in value.items()]
            elif keyword in _HOLDS_SCHEMA:
                found.append((None, value))
            elif keyword in _HOLDS_LIST and isinstance(value, list):
                found += [(None, each) for each in value]
            elif keyword in _HOLDS_MAP and isinstance(value, dict):
                found += [(None, each) for each in value.values()]
