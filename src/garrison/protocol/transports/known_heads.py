"""HTTP heads that were read before: peers repeat theirs, so a known one need not be parsed again.

Only a head that a strict parser has accepted gets in, and it is found by all its bytes but the digits of its length.
Bounded; when full, it starts afresh.
"""

from __future__ import annotations

import re
from typing import Generic, TypeVar

HEADS_MAX = 4096
HEAD_BYTES_MAX = 4096

_LENGTH = re.compile(rb"\r\ncontent-length:[ ]?([0-9]{1,9})(?=\r\n)", re.IGNORECASE)
_NEVER = re.compile(rb"\r\n(?:expect|upgrade|transfer-encoding):", re.IGNORECASE)

Reading = TypeVar("Reading")
"""What a head was found to say."""


class KnownHeads(Generic[Reading]):
    """Shared by all connections of one kind."""

    def __init__(self, body_bytes_max: int) -> None:
        self._known: dict[bytes, Reading] = {}
        self._exact: dict[bytes, tuple[Reading, int]] = {}
        """The same by all their bytes, with the length that they say: most messages repeat that too."""
        self._body_bytes_max = body_bytes_max

    def find(self, data: bytes) -> tuple[Reading, bytes] | None:
        """What the head says and the body, if `data` is exactly one message whose head is known."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        found = self._exact.get(data[:end]) or self._with_another_length(data, end)
        if found is None or len(data) != end + 4 + found[1]:
            return None
        return found[0], data[end + 4 :]

    def owes_body(self, data: bytes) -> bool:
        """Whether `data` is exactly a known head whose body is still to come: some clients write them one by one."""
        end = len(data) - 4
        found = self._exact.get(data[:end]) or self._with_another_length(data, end)
        return found is not None and found[1] > 0

    def keep(self, data: bytes, reading: Reading) -> None:
        """Remember a head that was accepted, if `data` was exactly its message."""
        end = data.find(b"\r\n\r\n")
        parts = _split(data, end)
        if parts is None or len(data) != end + 4 + parts[1] or end > HEAD_BYTES_MAX or _NEVER.search(data, 0, end):
            return
        if len(self._known) >= HEADS_MAX:
            self._known.clear()
            self._exact.clear()
        self._known[parts[0]] = reading

    def _with_another_length(self, data: bytes, end: int) -> tuple[Reading, int] | None:
        parts = _split(data, end)
        if parts is None or parts[1] > self._body_bytes_max:
            return None
        reading = self._known.get(parts[0])
        if reading is None:
            return None
        if len(self._exact) >= HEADS_MAX:
            self._exact.clear()
        found = self._exact[data[:end]] = (reading, parts[1])
        return found


def _split(data: bytes, end: int) -> tuple[bytes, int] | None:
    """The head without the digits of its length, and the length; None where it says none."""
    length = _LENGTH.search(data, 0, end + 2) if end >= 0 else None
    if length is None:
        return None
    return data[: length.start(1)] + data[length.end(1) : end], int(length[1])
