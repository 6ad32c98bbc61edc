"""The key that signs checkpoints: a file of mode 0600 in the home, made with the ledger, and its rotation.

The file is read at every signature, so that a key that was rotated by a command is the next one that a running fleet
signs with. A rotation is recorded in the ledger first, the new key waiting in a second file; whoever finds the record
made and the second file still there ends what a killed command began.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from garrison.kernel.errors import Unavailable
from garrison.kernel.home import write_private
from garrison.protection.notes import PublicKey, public_of


class KeyFile:
    """`name`: the log's origin, which its keys are named after."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._next = path.with_name(f"{path.name}.next")
        self._name = name

    def private(self) -> Ed25519PrivateKey:
        """The key; made if there is none. OSError, or Unavailable (`ledger.key`) when the file holds none."""
        if not self._path.exists():
            self._make()
        return self._read(self._path)

    def public(self, expected: str = "") -> PublicKey:
        """The public key in force; that of the waiting one if it is the `expected` one. Makes nothing."""
        for path in (self._next, self._path):
            if path.exists():
                found = public_of(self._read(path), self._name)
                if path == self._path or str(found) == expected:
                    return found
        raise _no_key(self._path)

    def prepare_next(self) -> Ed25519PrivateKey:
        """A new key, on disk and not in force."""
        key = Ed25519PrivateKey.generate()
        write_private(self._next, _pem(key))
        return key

    def take_next(self, public: str) -> bool:
        """Put the waiting key in force, if it is this one."""
        if not self._next.exists() or str(public_of(self._read(self._next), self._name)) != public:
            return False
        self._next.replace(self._path)
        return True

    def _make(self) -> None:
        """Several processes may start at once: the first one's key is everybody's."""
        own = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        write_private(own, _pem(Ed25519PrivateKey.generate()))
        try:
            os.link(own, self._path)
        except FileExistsError:
            pass
        finally:
            own.unlink()

    def _read(self, path: Path) -> Ed25519PrivateKey:
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except (ValueError, TypeError) as error:
            raise _no_key(path) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _no_key(path)
        return key


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _no_key(path: Path) -> Unavailable:
    hint = "Put the key back from a backup; or remove the file, and a new key is made and recorded."
    return Unavailable("ledger.key", f"{path} holds no Ed25519 key.", hint)
