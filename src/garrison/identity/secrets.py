"""Stored secrets: a file of names and values, the values encrypted, the key in a second file.

Each value is sealed by AES-256-GCM (NIST SP 800-38D) under a fresh nonce with its name as associated data, so that
no value can be changed, or moved to another name, unnoticed. What is not noticed: that an entry was removed, or that
an older copy of the whole file was put back.
"""

from __future__ import annotations

import fcntl
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from garrison.kernel.errors import Invalid, NotFound, Unavailable
from garrison.kernel.home import write_private
from garrison.telemetry.redaction import Redactor, redactor

VALUE_BYTES_MAX = 64 * 1024
_KEY_BYTES = 32
_NONCE_BYTES = 12
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The file. `key_id` tells a wrong key from a damaged value."""

    version: int = 1
    key_id: str = ""
    entries: dict[str, str] = {}


class SecretsFile:
    """Secrets by name. Several processes may use the same file. A value once read is masked in logs from then on."""

    def __init__(self, path: Path, key_path: Path, mask: Redactor = redactor) -> None:
        self._path = path
        self._key_path = key_path
        self._mask = mask

    def __repr__(self) -> str:
        return f"SecretsFile({str(self._path)!r})"

    def get(self, name: str) -> str:
        """The value. NotFound, or Invalid (`secrets.wrong_key`, `secrets.tampered`)."""
        file = self._read()
        if name not in file.entries:
            raise NotFound(
                "secrets.unknown", f"There is no secret {name[:128]!r}.", "`garrison secrets list` names them."
            )
        value = _open(self._key(file), name, file.entries[name])
        self._mask.add(value)
        return value

    def set(self, name: str, value: str) -> None:
        """Store or replace. The key is made on the first use."""
        _check(name, value)
        self._mask.add(value)
        with self._alone():
            file = self._read()
            key = self._key(file) if self._key_path.exists() or file.entries else self._make_key()
            sealed = {**file.entries, name: _seal(key, name, value)}
            self._write(_File(key_id=_key_id(key), entries=sealed))

    def remove(self, name: str) -> None:
        """NotFound if there is none of that name."""
        with self._alone():
            file = self._read()
            if name not in file.entries:
                raise NotFound("secrets.unknown", f"There is no secret {name[:128]!r}.")
            self._write(_File(key_id=file.key_id, entries={k: v for k, v in file.entries.items() if k != name}))

    def list(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._read().entries))

    def _read(self) -> _File:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return _File()
        except OSError as error:
            raise Unavailable("secrets.unreadable", f"{self._path} cannot be read: {error.strerror}.") from error
        try:
            return msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid("secrets.tampered", f"{self._path} is damaged.", "Restore it from a backup.") from error

    def _write(self, file: _File) -> None:
        try:
            write_private(self._path, msgspec.json.format(msgspec.json.encode(file, order="sorted")))
        except OSError as error:
            raise Unavailable("secrets.unwritable", f"{self._path} cannot be written: {error.strerror}.") from error

    def _key(self, file: _File) -> bytes:
        """The key, which must be the one that the file was written with."""
        try:
            key = b64decode(self._key_path.read_bytes(), validate=True)
        except OSError as error:
            hint = "Restore the key file; without it the secrets cannot be read."
            raise Unavailable("secrets.key_missing", f"The key file {self._key_path} cannot be read.", hint) from error
        except ValueError as error:
            raise Invalid("secrets.wrong_key", f"{self._key_path} holds no key.", "Restore the key file.") from error
        if len(key) != _KEY_BYTES or (file.key_id and file.key_id != _key_id(key)):
            hint = "Restore the key file that belongs to the secrets, or set all secrets anew."
            raise Invalid("secrets.wrong_key", f"{self._key_path} is not the key of {self._path}.", hint)
        return key

    def _make_key(self) -> bytes:
        key = AESGCM.generate_key(bit_length=_KEY_BYTES * 8)
        write_private(self._key_path, b64encode(key))
        return key

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time; the lock has a file of its own, because the secrets' file is replaced."""
        lock = self._path.with_suffix(".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable("secrets.unwritable", f"{lock} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)  # and with it the lock


def _check(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid("secrets.name", f"{name[:128]!r} is no name for a secret.", "1 to 128 letters, digits or . _ -")
    if len(value.encode("utf-8", "replace")) > VALUE_BYTES_MAX:
        raise Invalid("secrets.too_long", f"The secret {name} is longer than {VALUE_BYTES_MAX} bytes.")
    if not value or not _is_text(value):
        raise Invalid("secrets.value", f"The secret {name} is empty or is no text.")


def _is_text(value: str) -> bool:
    """Line breaks and tabs are fine (keys, certificates); lone surrogates and NUL are not."""
    return "\x00" not in value and value.encode("utf-8", "replace").decode() == value


def _key_id(key: bytes) -> str:
    """Names a key without telling anything about it."""
    return sha256(b"garrison secrets key id" + key).hexdigest()[:16]


def _seal(key: bytes, name: str, value: str) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    return b64encode(nonce + AESGCM(key).encrypt(nonce, value.encode(), name.encode())).decode()


def _open(key: bytes, name: str, sealed: str) -> str:
    try:
        data = b64decode(sealed, validate=True)
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], name.encode()).decode()
    except (InvalidTag, ValueError) as error:
        hint = "Restore the file from a backup, or set this secret anew."
        raise Invalid("secrets.tampered", f"The secret {name} was changed or damaged.", hint) from error
