"""Between the eras: what must change in a request or a result when client and server speak different ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from garrison.protocol import codes, methods
from garrison.protocol.messages import EMPTY, Params, RpcError, decode_any, encode, members, raw, text
from garrison.protocol.versions import Era

_MODERN_META = (methods.META_VERSION, methods.META_CAPABILITIES, methods.META_CLIENT_INFO)
_MODERN_RESULT = ("resultType", "ttlMs", "cacheScope")
_MISSING_RESOURCE_LEGACY = -32002


def request_params(
    params: Params,
    client: Era,
    server: Era,
    version: str,
    client_info: dict[str, Any],
    capabilities: Mapping[str, Any] | None = None,
) -> Params:
    """A client's parameters as the server's era wants them; the same object where nothing changes.

    `capabilities`: what a legacy client can be asked.
    """
    if client == server:
        return params
    meta = members(params["_meta"]) if "_meta" in params else {}
    if server == "modern":
        meta[methods.META_VERSION] = raw(version)
        meta[methods.META_CAPABILITIES] = raw(dict(capabilities or {}))
        meta[methods.META_CLIENT_INFO] = raw(client_info)
    else:
        for key in _MODERN_META:
            meta.pop(key, None)
    changed = {key: value for key, value in params.items() if key != "_meta"}
    if meta:
        changed["_meta"] = raw(meta)
    return changed


def result(content: Raw, method: str, client: Era, server: Era) -> bytes | Raw:
    """A server's result as the client's era wants it; untouched where they are the same."""
    if client == server:
        return content
    if client == "modern":
        return modern_result(bytes(content), method)
    parts = members(content)
    return encode({key: value for key, value in parts.items() if key not in _MODERN_RESULT})


def input_wanted(content: Raw) -> tuple[dict[str, tuple[str, Raw]], Raw] | None:
    """The questions (key → method and params) and the state of an `input_required` result; None for any other."""
    parts = members(content)
    if "resultType" not in parts or decode_any(parts["resultType"]) != "input_required":
        return None
    asked = {key: members(value) for key, value in members(parts.get("inputRequests", EMPTY)).items()}
    questions = {key: (text(one, "method"), one.get("params", EMPTY)) for key, one in asked.items()}
    return questions, parts.get("requestState", raw(""))


def modern_result(content: bytes, method: str) -> bytes:
    """A legacy result with what 2026-07-28 adds: `resultType`, and that it may not be cached."""
    head = b'{"resultType":"complete"'
    if method in methods.CACHEABLE:
        head += b',"ttlMs":0,"cacheScope":"private"'
    rest = content.strip()[1:].lstrip()
    return head + (b"" if rest.startswith(b"}") else b",") + rest


def error(found: RpcError, client: Era) -> RpcError:
    """A server's error in the client's era: a missing resource is `-32602` since 2026-07-28."""
    if client == "modern" and found.code == _MISSING_RESOURCE_LEGACY:
        return RpcError(codes.INVALID_PARAMS, found.message, found.data)
    return found
