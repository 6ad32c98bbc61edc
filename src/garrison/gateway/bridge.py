"""Between the eras: what must change in a request or a result when client and server speak different ones. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from garrison.kernel.errors import Unsupported
from garrison.protocol import codes, methods
from garrison.protocol.messages import Params, RpcError, decode_any, encode, members, raw
from garrison.protocol.versions import Era

_MODERN_META = (methods.META_VERSION, methods.META_CAPABILITIES, methods.META_CLIENT_INFO)
_MODERN_RESULT = ("resultType", "ttlMs", "cacheScope")
_MISSING_RESOURCE_LEGACY = -32002


def request_params(params: Params, client: Era, server: Era, version: str, client_info: dict[str, Any]) -> Params:
    """A client's parameters as the server's era wants them; the same object where nothing changes."""
    if client == server:
        return params
    meta = members(params["_meta"]) if "_meta" in params else {}
    if server == "modern":
        meta[methods.META_VERSION] = raw(version)
        meta[methods.META_CAPABILITIES] = raw({})
        meta[methods.META_CLIENT_INFO] = raw(client_info)
    else:
        for key in _MODERN_META:
            meta.pop(key, None)
    changed = {key: value for key, value in params.items() if key != "_meta"}
    if meta:
        changed["_meta"] = raw(meta)
    return changed


def result(content: Raw, method: str, client: Era, server: Era) -> bytes | Raw:
    """A server's result as the client's era wants it; untouched where they are the same.

    Raises `Unsupported` when a modern server asks for input that a legacy client was not told of.
    """
    if client == server:
        return content
    if client == "modern":
        return modern_result(bytes(content), method)
    parts = members(content)
    if "resultType" in parts and decode_any(parts["resultType"]) == "input_required":
        message = (
            "the server asks the user for input in mid-call, which this client's protocol revision cannot carry yet"
        )
        raise Unsupported("bridge.input_required", message, "use a client that speaks revision 2026-07-28")
    return encode({key: value for key, value in parts.items() if key not in _MODERN_RESULT})


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
