"""JSON-RPC 2.0 messages as MCP uses them: only the envelope is decoded, bodies stay raw JSON.

`Raw` is a slice of the received bytes (`msgspec.Raw`), so what is not looked at is forwarded untouched.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

Id = int | str
Params = dict[str, Raw]
"""Members of `params`, each as raw JSON. A member that stands twice counts once: the last one."""

EMPTY = Raw(b"{}")
_QUOTE = ord('"')

encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct, frozen=True):
    """One request (method and id), notification (method only) or response (id and result or error)."""

    jsonrpc: str = ""
    id: Id | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class RpcError(msgspec.Struct, omit_defaults=True):
    """A JSON-RPC error object. `data` stays raw; msgspec would read `Raw | None` as null alone."""

    code: int
    message: str
    data: Raw | UnsetType = UNSET


decode_message = msgspec.json.Decoder(Message).decode
decode_params = msgspec.json.Decoder(Params).decode
decode_error = msgspec.json.Decoder(RpcError).decode
decode_text = msgspec.json.Decoder(str).decode
decode_any = msgspec.json.Decoder().decode


_method = lru_cache(256)(encode)
"""There are only so many methods."""


def params_of(message: Message) -> Params:
    """The members of `params`; `{}` when absent. Raises `msgspec.DecodeError` when it is not an object."""
    return {} if message.params is UNSET else decode_params(message.params)


def is_error_response(body: bytes) -> bool:
    """Whether these bytes are a JSON-RPC error response; an OAuth error (`{"error": "…"}`) is none."""
    try:
        message = decode_message(body)
        if message.jsonrpc != "2.0" or message.error is UNSET:
            return False
        decode_error(message.error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def members(raw: Raw | bytes | bytearray) -> Params:
    """The members of any JSON object, each raw."""
    return decode_params(raw)


def raw(value: Any) -> Raw:
    """Any JSON-like value as raw JSON."""
    return Raw(encode(value))


def text(params: Params, key: str) -> str:
    """The string member `key`, or an empty string when it is absent, no string, or no valid one (a lone surrogate)."""
    found = params.get(key)
    if found is None or memoryview(found)[0] != _QUOTE:
        return ""
    try:
        return decode_text(found)
    except msgspec.DecodeError:
        return ""


def request_frame(request_id: Id, method: str, params: Params | None) -> bytes:
    number = b"%d" % request_id if isinstance(request_id, int) else encode(request_id)
    if params is None:
        return b'{"jsonrpc":"2.0","id":%b,"method":%b}' % (number, _method(method))
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (number, _method(method), encode(params))


def notification_frame(method: str, params: Params | Raw | None) -> bytes:
    head = b'{"jsonrpc":"2.0","method":' + encode(method)
    return head + (b',"params":' + encode(params) + b"}" if params is not None else b"}")


def result_frame(raw_id: bytes, result: Raw | bytes) -> bytes:
    """A success response; `raw_id` is the request's id as JSON."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, result)


def error_frame(raw_id: bytes, error: RpcError) -> bytes:
    """An error response; `raw_id` is `b"null"` when the id could not be read."""
    return b'{"jsonrpc":"2.0","id":' + raw_id + b',"error":' + encode(error) + b"}"
