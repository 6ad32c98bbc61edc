"""Encrypts what has to be stored for a while and is nobody else's to read (AES-256-GCM)."""

from __future__ import annotations

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Sealing:
    """`key`: at least 32 secret bytes; each purpose derives its own from it."""

    def __init__(self, key: bytes, purpose: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(f"garrison {purpose}".encode() + b"\0" + key).digest())

    def seal(self, content: bytes, bound: str) -> bytes:
        """`bound`: what it belongs to; needed to open it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, bound.encode())

    def open(self, sealed: bytes, bound: str) -> bytes | None:
        """None when it is not ours, was changed, or belongs to something else."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound.encode())
        except (InvalidTag, ValueError):
            return None
