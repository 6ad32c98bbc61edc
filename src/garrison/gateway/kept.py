"""Answers that are kept for as long as their server says, and for whom: a bounded store. Pure: time is an argument.

`ttlMs` and `cacheScope` are those of 2026-07-28: a `public` answer is everybody's, any other only its principal's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from garrison.protocol.messages import Params, decode_any, encode, members

ENTRY_SHARE: Final = 8
"""One answer may take this part of the room at most."""
_TTL_MS_MAX = 24 * 3600 * 1000
_PER_REQUEST = frozenset({"progressToken", "traceparent", "tracestate", "baggage"})
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class _Kept:
    body: bytes
    """The result without its `ttlMs` and without the closing brace."""
    until_s: float


class KeptAnswers:
    """`key` says what was asked of whom; the store adds for whom. The least recently used go first."""

    def __init__(self, entries_max: int, size_bytes_max: int) -> None:
        self._entries_max = entries_max
        self._size_bytes_max = size_bytes_max
        self._kept: OrderedDict[tuple[str, Hashable], _Kept] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, principal: str, key: Hashable, now_s: float) -> bytes | None:
        """A result that this principal may see, with the time that it still has as `ttlMs`."""
        for whose in ("", principal):
            kept = self._kept.get((whose, key))
            if kept is None:
                continue
            left_ms = int((kept.until_s - now_s) * 1000)
            if left_ms > 0:
                self._kept.move_to_end((whose, key))
                return kept.body + b',"ttlMs":%d}' % left_ms
            self._drop((whose, key))
        return None

    def keep(self, principal: str, key: Hashable, result: bytes | Raw, now_s: float) -> bool:
        """Keep a result if its server allows it; says whether."""
        found = _allowed(result)
        if found is None or not principal:
            return False
        ttl_ms, is_public, body = found
        if len(body) * ENTRY_SHARE > self._size_bytes_max:
            return False
        whole = ("" if is_public else principal, key)
        self._drop(whole)
        self._kept[whole] = _Kept(body, now_s + ttl_ms / 1000)
        self.size_bytes += len(body)
        while len(self._kept) > self._entries_max or self.size_bytes > self._size_bytes_max:
            self._drop(next(iter(self._kept)))
        return True

    def _drop(self, whole: tuple[str, Hashable]) -> None:
        gone = self._kept.pop(whole, None)
        if gone is not None:
            self.size_bytes -= len(gone.body)


def question(params: Params) -> bytes:
    """What is asked, canonically: without what belongs to this one request, with all that could change the answer.

    Raises `msgspec.MsgspecError` or `RecursionError` for parameters that cannot be read.
    """
    asked = {key: decode_any(value) for key, value in params.items()}
    meta = asked.get("_meta")
    if isinstance(meta, dict):
        asked["_meta"] = {key: value for key, value in meta.items() if key not in _PER_REQUEST}
    return _encode_sorted(asked)


def _allowed(result: bytes | Raw) -> tuple[float, bool, bytes] | None:
    """For how long (ms), for everybody or not, and what to keep; None where it may not be kept."""
    try:
        parts = members(result)
        ttl_ms = decode_any(parts.pop("ttlMs", b"0"))
        scope = decode_any(parts.get("cacheScope", b'"private"'))
        kind = decode_any(parts.get("resultType", b'"complete"'))
    except (msgspec.MsgspecError, RecursionError):
        return None
    if isinstance(ttl_ms, bool) or not isinstance(ttl_ms, (int, float)) or ttl_ms <= 0 or kind != "complete":
        return None
    if not parts:
        return None
    return min(float(ttl_ms), _TTL_MS_MAX), scope == "public", encode(parts)[:-1]
