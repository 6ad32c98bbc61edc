"""Which of a fleet's serving processes this is, and how a sealed text says at which of them its state lives.

The text begins with a nonce. Its maker draws nonces until one leads to itself, so the text needs no further member,
and any process that has the key can open it: where it leads is a hint at state, never a right.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from string import ascii_letters, digits

NONCE_BYTES = 12
_BASE64 = {letter: number for number, letter in enumerate(ascii_letters[26:] + ascii_letters[:26] + digits + "-_")}


@dataclass(frozen=True)
class Worker:
    """Number `number`, from 1, of `count`."""

    number: int = 1
    count: int = 1

    @property
    def is_primary(self) -> bool:
        """The node itself: it owns the servers' processes and the admin API."""
        return self.number == 1

    def nonce(self) -> bytes:
        """12 random bytes (96 bits, less the log2 of `count`) that lead here."""
        while True:
            found = os.urandom(NONCE_BYTES)
            if (found[0] >> 2) % self.count == self.number - 1:
                return found

    def leads_to(self, sealed: str) -> int:
        """The number of the worker that sealed this text in URL-safe base64; any, for a text that is none of ours."""
        return _BASE64.get(sealed[:1], 0) % self.count + 1
