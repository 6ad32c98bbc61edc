"""Envelope encryption: what is stored is sealed by a data key, and the data key is wrapped by a master key.

Each piece of data has a key of its own: HKDF-SHA256 (RFC 5869) makes it of the data key and 32 random bytes, and
AES-256-GCM (NIST SP 800-38D) seals with it, so that no pair of key and nonce can come twice. The context says what
the data is and whose; it is bound to it, so that nothing can be put in the place of something else.

    sealed = "GE1" | id of the data key, 8 bytes | seed, 32 bytes | ciphertext and tag

Data keys are in a file, wrapped by one master key, or by two while one is replaced. A process reads a data key once
and goes on with it, whatever becomes of the master key meanwhile. Safe for several threads and processes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from garrison.identity.master_keys import KEY_BYTES, VARIABLE, EnvironmentKeys, KeyFile, Source, Wrapped, source_named
from garrison.kernel.alone import alone
from garrison.kernel.errors import GarrisonError, Invalid, Unavailable
from garrison.kernel.home import Home, write_private

MAGIC: Final = b"GE1"
_ID_BYTES: Final = 8
_SEED_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(MAGIC) + _ID_BYTES + _SEED_BYTES


class DataKeys(msgspec.Struct, forbid_unknown_fields=True):
    """The file: data keys by id, each wrapped at least once. `current` seals what is new, the others open the rest."""

    version: int = 1
    current: str = ""
    keys: dict[str, list[Wrapped]] = {}


class _Key:
    """A data key in memory, that no `repr` shows."""

    __slots__ = ("secret",)

    def __init__(self, secret: bytes) -> None:
        self.secret = secret


class Envelope:
    """Seals and opens. The first data key, and with it a master key, is made on the first use."""

    def __init__(self, path: Path, key_file: Path, first: Source | None = None) -> None:
        """`first`: the source of the first master key; by default a file, or the environment if it holds a key."""
        self.path = path
        self.key_file = key_file
        self._first = first
        self._opened: dict[str, _Key] = {}
        self._current = ""
        self._seen: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"Envelope({str(self.path)!r})"

    def wrap(self, data: bytes, context: str) -> bytes:
        """Sealed, for whoever names the same context. Raises `Unavailable` or `Invalid` when there is no usable key."""
        found = self._newest()
        seed = os.urandom(_SEED_BYTES)
        key, nonce = _derived(self._opened[found], seed)
        head = MAGIC + bytes.fromhex(found) + seed
        return head + AESGCM(key).encrypt(nonce, data, _bound(head, context))

    def unwrap(self, sealed: bytes, context: str) -> bytes:
        """What was sealed. Raises `Invalid` (`secrets.tampered`) for what was changed or is of another context."""
        if len(sealed) < _HEAD_BYTES or not sealed.startswith(MAGIC):
            raise _tampered()
        head = sealed[:_HEAD_BYTES]
        found = head[len(MAGIC) : len(MAGIC) + _ID_BYTES].hex()
        key, nonce = _derived(self._key(found), head[-_SEED_BYTES:])
        try:
            return AESGCM(key).decrypt(nonce, sealed[_HEAD_BYTES:], _bound(head, context))
        except InvalidTag as error:
            raise _tampered() from error

    def read(self) -> DataKeys:
        """The file. Empty if there is none."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=DataKeys)
        except FileNotFoundError:
            return DataKeys()
        except OSError as error:
            raise Unavailable("secrets.unreadable", f"{self.path} cannot be read: {error.strerror}.") from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Invalid("secrets.tampered", f"{self.path} is damaged.", "Restore it from a backup.") from error

    def write(self, keys: DataKeys) -> None:
        """To be called `alone` with `path`."""
        try:
            write_private(self.path, msgspec.json.format(msgspec.json.encode(keys, order="sorted")))
        except OSError as error:
            raise Unavailable("secrets.unwritable", f"{self.path} cannot be written: {error.strerror}.") from error

    def source(self, wrapped: Wrapped) -> Source:
        """Where the key is that wrapped this."""
        return source_named(wrapped.source, wrapped.where, self.key_file)

    def opened(self, found: str, wrappings: Sequence[Wrapped]) -> bytes:
        """A data key, by the first of its wrappings that can be opened."""
        error: GarrisonError = Invalid("secrets.tampered", f"{self.path} has lost a key.", "Restore it from a backup.")
        for wrapped in wrappings:
            try:
                return self.source(wrapped).unwrap(wrapped, context_of(found))
            except GarrisonError as why:
                error = why
        raise error

    def added(self, keys: DataKeys, source: Source) -> DataKeys:
        """With one more data key, which seals from now on."""
        secret = AESGCM.generate_key(bit_length=KEY_BYTES * 8)
        found = os.urandom(_ID_BYTES).hex()
        return DataKeys(current=found, keys={**keys.keys, found: [source.wrap(secret, context_of(found))]})

    def _newest(self) -> str:
        """The id of the key that seals, opened. Another process may have made another one meanwhile."""
        stamp = self._stamp()
        if stamp is None or stamp != self._seen:
            keys = self.read()
            if not keys.keys:
                keys = self._begun()
            self._key(keys.current)
            self._current, self._seen = keys.current, stamp
        return self._current

    def _begun(self) -> DataKeys:
        try:
            with alone(self.path):
                keys = self.read()
                if not keys.keys:
                    keys = self.added(keys, self._first or self._default())
                    self.write(keys)
                return keys
        except OSError as error:
            raise Unavailable("secrets.unwritable", f"{self.path} cannot be written: {error.strerror}.") from error

    def _default(self) -> Source:
        return EnvironmentKeys() if os.environ.get(VARIABLE) else KeyFile(self.key_file)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def _key(self, found: str) -> _Key:
        if found not in self._opened:
            self._opened[found] = _Key(self._unwrapped(found))
        return self._opened[found]

    def _unwrapped(self, found: str) -> bytes:
        keys = self.read()
        while True:
            try:
                return self.opened(found, keys.keys.get(found, ()))
            except GarrisonError:
                former, keys = keys, self.read()
                if keys == former:  # else the master key was replaced just now
                    raise


@cache
def envelope_of(home: Home) -> Envelope:
    """One for each home, so that its data keys are unwrapped once."""
    return Envelope(home.envelope, home.secrets_key)


def context_of(found: str) -> bytes:
    """What a wrapped data key is bound to."""
    return b"garrison data key " + found.encode()


def _derived(key: _Key, seed: bytes) -> tuple[bytes, bytes]:
    """The key and nonce of one piece of data."""
    both = HKDF(SHA256(), KEY_BYTES + _NONCE_BYTES, salt=seed, info=b"garrison envelope 1").derive(key.secret)
    return both[:KEY_BYTES], both[KEY_BYTES:]


def _bound(head: bytes, context: str) -> bytes:
    return head + context.encode()


def _tampered() -> Invalid:
    hint = "Restore it from a backup, or set it anew."
    return Invalid("secrets.tampered", "Something sealed was changed, damaged, or belongs elsewhere.", hint)
