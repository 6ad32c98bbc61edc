"""Heads that were read before: clients repeat theirs, so a known one need not be parsed again.

Only a head that the parser and the guard have accepted gets in, and it is found by all its bytes but the digits of
its length. Bounded; when full, it starts afresh.
"""

from __future__ import annotations

import re

from garrison.gateway.heads import Head

HEADS_MAX = 4096
HEAD_BYTES_MAX = 4096

_LENGTH = re.compile(rb"\r\ncontent-length:[ ]?([0-9]{1,9})(?=\r\n)", re.IGNORECASE)
_NEVER = re.compile(rb"\r\n(?:expect|upgrade|transfer-encoding):", re.IGNORECASE)


class KnownHeads:
    """Shared by all connections of a listener."""

    def __init__(self, body_bytes_max: int) -> None:
        self._known: dict[bytes, Head] = {}
        self._body_bytes_max = body_bytes_max

    def find(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and the body, if `data` is exactly one request whose head is known."""
        parts = _split(data)
        if parts is None or len(parts[1]) > self._body_bytes_max:
            return None
        head = self._known.get(parts[0])
        return None if head is None else (head, parts[1])

    def keep(self, data: bytes, head: Head) -> None:
        """Remember a head that was accepted, if `data` was exactly its request."""
        parts = _split(data)
        if parts is None or len(parts[0]) > HEAD_BYTES_MAX or _NEVER.search(parts[0]):
            return
        if len(self._known) >= HEADS_MAX:
            self._known.clear()
        self._known[parts[0]] = head


def _split(data: bytes) -> tuple[bytes, bytes] | None:
    """The head without the digits of its length, and the body; None unless `data` is one whole request."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(data, 0, end + 2)
    if length is None or len(data) != end + 4 + int(length[1]):
        return None
    return data[: length.start(1)] + data[length.end(1) : end], data[end + 4 :]
