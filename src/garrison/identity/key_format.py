"""API keys as text: `gsn_<8 characters>_<43 base64url characters>`.

The eight characters are public: they name the key in lists and logs and find its record. The 43 are 256 random bits.
A key is stored as its plain SHA-256. Slow hashes (Argon2, scrypt) make guessing *passwords* dear, because people
choose from few; nobody can search 2^256 values, however fast the hash, and a slow one would tax every call.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

PREFIX_CHARS = 8
KEY_CHARS = 56
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_KEY = re.compile(r"gsn_([A-Za-z0-9]{8})_[A-Za-z0-9_-]{43}")


def mint() -> str:
    """A new key."""
    prefix = "".join(secrets.choice(_LETTERS) for _ in range(PREFIX_CHARS))
    return f"gsn_{prefix}_{secrets.token_urlsafe(32)}"


def prefix_of(key: str) -> str | None:
    """The public part, None if this is no key at all."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def digest_of(key: str) -> bytes:
    """What is stored: 32 bytes."""
    return sha256(key.encode()).digest()
