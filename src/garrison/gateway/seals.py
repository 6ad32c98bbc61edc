"""Short texts that clients hold for us, unreadable and unchangeable, and bound to what they may be used for.

AES-SIV (RFC 5297) needs no nonce: the same content is sealed to the same text, also after a restart.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_CHARS_MAX = 4096


class Seal:
    """`key`: at least 32 secret bytes; each purpose derives its own from it."""

    def __init__(self, key: bytes, purpose: str) -> None:
        self._cipher = AESSIV(hashlib.sha512(f"garrison {purpose}".encode() + b"\0" + key).digest())

    def seal(self, content: bytes, *bound: str) -> str:
        """`bound`: who may use it, and for what; not in the text, and needed to open it. `content` is not empty."""
        return _text(self._cipher.encrypt(content, [part.encode() for part in bound]))

    def open(self, token: str, *bound: str) -> bytes | None:
        """None when it is not ours, was changed, or is for somebody or something else."""
        if not token or len(token) > _CHARS_MAX:
            return None
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            if _text(sealed) != token:
                return None  # another spelling of the same bytes
            return self._cipher.decrypt(sealed, [part.encode() for part in bound])
        except (ValueError, InvalidTag):
            return None


def _text(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()
