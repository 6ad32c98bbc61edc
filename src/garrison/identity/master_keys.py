"""Master keys: what data keys are wrapped by, from one of several sources.

A source wraps a few dozen bytes and unwraps them again. Those that hold keys themselves (file, environment, keyring)
do it by AES-256-GCM (NIST SP 800-38D); a vault does it on its side, and its key never comes here.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from garrison.kernel.errors import Conflict, Invalid, Unavailable, Unsupported
from garrison.kernel.home import write_private
from garrison.telemetry.redaction import redactor

SourceName = Literal["file", "environment", "keyring", "vault"]
KEY_BYTES: Final = 32
VARIABLE: Final = "GARRISON_MASTER_KEY"
_NONCE_BYTES: Final = 12

ELSEWHERE: Final[Mapping[str, str]] = {
    "keyring": "garrison.identity.master_keyring",
    "vault": "garrison.identity.master_vault",
}
"""Sources that are loaded when one is asked for: each module has `source(where)`."""


class Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data key as it is stored. `where`: what of its source is no secret: an address. `key`: the master key's id."""

    source: SourceName
    key: str
    sealed: str
    where: dict[str, str] = {}


class Source(Protocol):
    """Where a master key is. No `repr` shows one."""

    def wrap(self, data: bytes, context: bytes) -> Wrapped:
        """By the newest key, which is made if there is none."""
        ...

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """Raises `Unavailable` (`secrets.key_missing`) or `Invalid` (`secrets.wrong_key`)."""
        ...

    def renew(self, used: Sequence[str]) -> None:
        """From now on `wrap` takes a key that is none of those used. The former ones still unwrap."""
        ...

    def forget(self, needed: Sequence[str]) -> None:
        """Keys that are not needed any more may go."""
        ...


class HeldKeys:
    """Keys as text, one a line, the newest last; where that text is kept is what variants say."""

    name: SourceName = "file"

    def __init__(self, place: str) -> None:
        self._place = place

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place!r})"

    def read(self) -> str | None:
        """The text; None where nothing is kept yet."""
        raise NotImplementedError

    def write(self, text: str) -> None:
        """Replace it; without any text, nothing is left."""
        raise NotImplementedError

    def where(self) -> dict[str, str]:
        return {}

    def wrap(self, data: bytes, context: bytes) -> Wrapped:
        if not self._keys():
            self._store([AESGCM.generate_key(bit_length=KEY_BYTES * 8)])
        key = self._keys()[-1]
        nonce = os.urandom(_NONCE_BYTES)
        sealed = b64encode(nonce + AESGCM(key).encrypt(nonce, data, context)).decode()
        return Wrapped(self.name, key_id(key), sealed, self.where())

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        key = self.key(wrapped.key)
        try:
            data = b64decode(wrapped.sealed, validate=True)
            return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise Invalid("secrets.tampered", "a wrapped key was changed or damaged", "restore it") from error

    def key(self, wanted: str) -> bytes:
        """The key of this id. Raises as `unwrap` does."""
        keys = self._keys()
        if not keys:
            hint = "Restore the key; without it the secrets cannot be read."
            raise Unavailable("secrets.key_missing", f"There is no master key in {self._place}.", hint)
        for key in keys:
            if key_id(key) == wanted:
                return key
        hint = "Restore the key that belongs to the secrets, or set all secrets anew."
        raise Invalid("secrets.wrong_key", f"What is in {self._place} is not the key of these secrets.", hint)

    def renew(self, used: Sequence[str]) -> None:
        keys = self._keys()
        if not keys or key_id(keys[-1]) in used:
            self._store([*keys, AESGCM.generate_key(bit_length=KEY_BYTES * 8)])

    def forget(self, needed: Sequence[str]) -> None:
        keys = self._keys()
        kept = [key for key in keys if key_id(key) in needed]
        if kept != keys:
            self._store(kept)

    def _keys(self) -> list[bytes]:
        text = self.read()
        try:
            keys = [b64decode(line, validate=True) for line in (text or "").split()]
        except ValueError:
            keys = [b""]
        if any(len(key) != KEY_BYTES for key in keys):
            hint = "Restore the key; it is 32 bytes in base64."
            raise Invalid("secrets.wrong_key", f"{self._place} holds no key.", hint)
        return keys

    def _store(self, keys: Sequence[bytes]) -> None:
        self.write("\n".join(b64encode(key).decode() for key in keys))


class KeyFile(HeldKeys):
    """A file of its owner's only, mode 0600."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def read(self) -> str | None:
        try:
            return self._path.read_text(errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            message = f"The key file {self._path} cannot be read: {error.strerror}."
            raise Unavailable("secrets.key_missing", message, "Make it readable for its owner.") from error

    def write(self, text: str) -> None:
        try:
            if text:
                write_private(self._path, text.encode())
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            message = f"The key file {self._path} cannot be written: {error.strerror}."
            raise Unavailable("secrets.unwritable", message, "Check the folder and free space.") from error


class EnvironmentKeys(HeldKeys):
    """The variable GARRISON_MASTER_KEY: one key in base64, or several with blanks between them, the newest last."""

    name: SourceName = "environment"

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(f"the variable {VARIABLE}")
        self._environment = os.environ if environment is None else environment

    def read(self) -> str | None:
        text = self._environment.get(VARIABLE)
        for word in (text or "").split():
            redactor.add(word)
        return text

    def wrap(self, data: bytes, context: bytes) -> Wrapped:
        if not self._keys():
            hint = f"Set it to 32 random bytes in base64: export {VARIABLE}=$(head -c 32 /dev/urandom | base64)"
            raise Unavailable("secrets.key_missing", f"The variable {VARIABLE} is not set.", hint)
        return super().wrap(data, context)

    def renew(self, used: Sequence[str]) -> None:
        keys = self._keys()
        if keys and key_id(keys[-1]) in used:
            hint = f"Set {VARIABLE} to the former and the new key, with a blank between them; then run this again."
            raise Conflict("secrets.same_key", f"The newest key in {VARIABLE} is in use already.", hint)

    def forget(self, needed: Sequence[str]) -> None:
        """The environment is not ours to change."""


def source_named(name: SourceName, where: Mapping[str, str], key_file: Path) -> Source:
    """The source of this name. Raises `Invalid` for one that there is not, `Unsupported` without what it needs."""
    if name == "file":
        return KeyFile(key_file)
    if name == "environment":
        return EnvironmentKeys()
    try:
        made: Any = import_module(ELSEWHERE[name])
    except ImportError as error:
        hint = f"Install it with the extra: pip install 'garrison[{name}]'"
        raise Unsupported("secrets.not_installed", f"The package {error.name} is not installed.", hint) from error
    source: Source = made.source(where)
    return source


def key_id(key: bytes) -> str:
    """Names a key without telling anything about it."""
    return sha256(b"garrison secrets key id" + key).hexdigest()[:16]
