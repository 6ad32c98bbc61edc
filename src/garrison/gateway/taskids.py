"""Ids of tasks as clients see them: sealed, so that they carry where the task lives, and open for their principal only.

AES-SIV (RFC 5297) needs no nonce: the same task has the same id in every answer and after a restart. What seals is
derived from the key that seals sessions.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_CHARS_MAX = 4096


class TaskPlace(msgspec.Struct, frozen=True, array_like=True):
    """Where a task lives: `mark` names a client's own connection, and is empty for the shared one."""

    server: str
    mark: str
    tool: str
    """The tool that was called, by its own name; empty where it is not known."""
    id: str
    """The task's id at its server."""


class TaskIds:
    """`key`: at least 32 secret bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESSIV(hashlib.sha512(b"garrison task ids" + key).digest())

    def seal(self, principal: str, place: TaskPlace) -> str:
        sealed = self._cipher.encrypt(msgspec.json.encode(place), [b"task", principal.encode()])
        return _text(sealed)

    def open(self, principal: str, token: str) -> TaskPlace | None:
        """The place behind an id; None when it is not ours, was changed, or is somebody else's."""
        if not token or len(token) > _CHARS_MAX:
            return None
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            if _text(sealed) != token:
                return None  # another spelling of the same bytes
            content = self._cipher.decrypt(sealed, [b"task", principal.encode()])
            return msgspec.json.decode(content, type=TaskPlace)
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            return None


def _text(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()
