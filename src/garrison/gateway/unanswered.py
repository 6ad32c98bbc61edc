"""Notifications and responses: they get no answer but 202, so what is wrong with them must be found before that.

They are rare, so they are looked at more strictly than requests, whose members are judged where they are used. Pure.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import UNSET

from garrison.gateway.refusals import ProtocolError, header_mismatch
from garrison.protocol import codes
from garrison.protocol.messages import Message, decode_error

STRICT_BYTES_MAX = 64 * 1024
"""Beyond that a message is judged by its envelope alone: a client may answer with a picture."""
DEPTH_MAX = 64

_PREFIX = "notifications/"
_OBJECT = ord("{")


def check(message: Message, body: bytes | bytearray) -> None:
    """Raises `ProtocolError` unless this message without an answer is what the protocol knows as one."""
    if message.method is UNSET:
        _check_response(message)
    elif not message.method.startswith(_PREFIX):
        raise _malformed(f"{message.method[:100]} is no notification, and a request needs an id")
    if len(body) <= STRICT_BYTES_MAX:
        _check_members(body)


def check_modern(method: str, in_header: str | None) -> None:
    """2026-07-28: nobody asks clients by requests, and `Mcp-Method` says what the body says."""
    if method == "response":
        raise _malformed("nothing was asked, so there is nothing to respond to")
    if in_header is not None and in_header != method:
        raise header_mismatch("Mcp-Method")


def _check_response(message: Message) -> None:
    if message.error is not UNSET:
        try:
            decode_error(message.error)
        except (msgspec.MsgspecError, RecursionError):
            raise _malformed("the response's error is no error object") from None
    elif message.id is None or message.result is UNSET or memoryview(message.result)[0] != _OBJECT:
        raise _malformed("a response has an id, and its result is an object")


def _check_members(body: bytes | bytearray) -> None:
    """No member twice (of two readers each would take another), and not too deep."""
    try:
        level = [json.loads(body, object_pairs_hook=_unique)]
    except (ValueError, RecursionError):
        raise _malformed("a member stands twice, or the message is too deep") from None
    for _ in range(DEPTH_MAX + 1):
        level = [inner for one in level for inner in _inside(one)]
    if level:
        raise _malformed(f"the message is deeper than {DEPTH_MAX}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _malformed(why: str) -> ProtocolError:
    return ProtocolError("protocol.message", why, codes.INVALID_REQUEST)
