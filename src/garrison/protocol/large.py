"""Large results that are passed on piece by piece while they come, so that nobody has to hold them.

Such a response is a JSON-RPC result whose `result` member begins in the first bytes. Only the result's own bytes are
passed on; the response around it is read here, and written anew by whoever passes them on.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Protocol

import msgspec
from msgspec import UNSET, Raw

from garrison.kernel.errors import Invalid
from garrison.protocol.matching import NULL, own_id
from garrison.protocol.messages import decode_message
from garrison.protocol.outline import Outline

LARGE_FROM_BYTES = 64 * 1024
REST_BYTES_MAX = 4096
"""What may stand behind the result."""

_ID = rb'"id"\s*:\s*(?:-?[0-9]{1,19}|"[^"\\]{0,100}")\s*,\s*'
_START = re.compile(
    rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?(?:%b)?(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"result"\s*:\s*(?=\{)' % _ID
)


class Valve(Protocol):
    """Holds back what comes from the server while the client does not read."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Pieces(Protocol):
    """Takes a result in pieces. Nothing is told to it when the server breaks off: its reply is."""

    def piece(self, data: bytes) -> None: ...

    def end(self, *, is_error: bool) -> None:
        """That was all of it, and it is sound."""


class LargeReply(ABC):
    """A reply that can take large results in pieces."""

    __slots__ = ()

    @abstractmethod
    def large(self, room_bytes: int | None, valve: Valve) -> Pieces | None:
        """Where to; None where the answer has to be collected. `room_bytes`: what the server will still send."""


class _Result(msgspec.Struct):
    isError: bool = False  # noqa: N815  the protocol's name


_decode_outline = msgspec.json.Decoder(_Result).decode


class LargeResult:
    """Reads one response from where its result begins; `start` is what came before. Raises `Invalid`."""

    def __init__(self, start: bytes, request_id: int) -> None:
        self._start = start
        self._request_id = request_id
        self._outline = Outline()
        self._rest = b""

    @classmethod
    def of(cls, first: bytes, request_id: int) -> LargeResult | None:
        """None where the first bytes are not the beginning of this request's result."""
        start = _START.match(first)
        if start is None:
            return None
        found = cls(start[0], request_id)
        return found if found._is_whole_with(b"}") else None

    @property
    def begins_at(self) -> int:
        return len(self._start)

    def feed(self, piece: bytes) -> bytes:
        """What of these bytes belongs to the result."""
        size = 0 if self._outline.complete else self._outline.feed(piece)
        if size == len(piece):
            return piece
        self._rest += piece[size:]
        if len(self._rest) > REST_BYTES_MAX:
            raise _bad("too much stands behind its result")
        return piece[:size]

    def end(self) -> bool:
        """Whether the result says `isError`. Raises `Invalid` when the response is not whole or not what it seemed."""
        if not self._outline.complete:
            raise _bad("its result has no end")
        if not self._is_whole_with(self._rest, named=True):
            raise _bad("its result is not that of one JSON-RPC 2.0 response")
        try:
            return _decode_outline(bytes(self._outline.text)).isError
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise _bad("its result is no object") from None

    def _is_whole_with(self, rest: bytes, *, named: bool = False) -> bool:
        """Whether it is our response, if this stands behind the result; `named` wants it to say `jsonrpc` by now."""
        try:
            message = decode_message(b"%bnull%b" % (self._start, rest))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        if named and message.jsonrpc != "2.0":
            return False
        alone = message.method is UNSET and message.error in (UNSET, NULL) and message.result == Raw(b"null")
        return alone and own_id(message.id, self._request_id) == self._request_id


def _bad(why: str) -> Invalid:
    return Invalid("server.bad_response", f"the server's answer is no JSON-RPC message: {why}")
