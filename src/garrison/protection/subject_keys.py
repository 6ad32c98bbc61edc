"""A data key for each subject: what is known of somebody can be made unreadable, everywhere at once, by destroying it.

Each key is in a file of its own, wrapped by the home's master key, and deliberately not in the database with what it
encrypts: a copy of the database holds no key. Copies of this folder do; they must not outlive their purpose.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from garrison.kernel.alone import alone
from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.errors import Invalid
from garrison.kernel.home import write_private

KEY_BITS = 256


class Wrap(Protocol):
    """A master key, or whatever stands for one (`identity.envelope.Envelope`)."""

    def wrap(self, data: bytes, context: str) -> bytes: ...

    def unwrap(self, sealed: bytes, context: str) -> bytes:
        """Raises a `GarrisonError` for what was changed, or sealed for another context."""
        ...


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """made_ns: when, nanoseconds since 1970-01-01 UTC; what is older was sealed by a key that is no more."""

    subject: str
    wrapped: str
    made_ns: int


class _Held:
    """A key in memory, that no `repr` shows, and the file that it came from."""

    __slots__ = ("made_ns", "secret", "stamp")

    def __init__(self, secret: bytes, made_ns: int, stamp: tuple[int, int]) -> None:
        self.secret = secret
        self.made_ns = made_ns
        self.stamp = stamp


class SubjectKeys:
    """Keys by subject. Several processes may use the same folder: a key that one destroys is gone for all."""

    def __init__(self, folder: Path, wrap: Wrap, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._folder = folder
        self._wrap = wrap
        self._held: dict[str, _Held] = {}

    def find(self, subject: str) -> bytes | None:
        """None when there is none, or none any more."""
        path = self._path(subject)
        stamp = _stamp(path)
        held = self._held.get(subject)
        if stamp is None:
            self._held.pop(subject, None)
            return None
        if held is None or held.stamp != stamp:
            held = self._held[subject] = _Held(*self._read(path, subject), stamp)
        return held.secret

    def made_ns(self, subject: str) -> int | None:
        """When the present key was made; None when there is none."""
        return self._held[subject].made_ns if self.find(subject) is not None else None

    def of(self, subject: str) -> bytes:
        """The key; it is made on the first use. After `destroy` that is another one."""
        found = self.find(subject)
        if found is not None:
            return found
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(self._folder / "keys"):
            if _stamp(self._path(subject)) is None:
                secret = AESGCM.generate_key(bit_length=KEY_BITS)
                wrapped = b64encode(self._wrap.wrap(secret, _context(subject))).decode()
                write_private(self._path(subject), msgspec.json.encode(_File(subject, wrapped, self._clock.wall_ns())))
        found = self.find(subject)
        assert found is not None
        return found

    def destroy(self, subject: str) -> bool:
        """Overwrite and remove it. False when there was none."""
        self._held.pop(subject, None)
        path = self._path(subject)
        try:
            with path.open("r+b") as file:
                file.write(os.urandom(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
        except FileNotFoundError:
            return False
        _sync(self._folder)
        return True

    def _read(self, path: Path, subject: str) -> tuple[bytes, int]:
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
            return self._wrap.unwrap(b64decode(file.wrapped, validate=True), _context(subject)), file.made_ns
        except (ValueError, OSError) as error:
            raise Invalid("audit.key_damaged", f"{path} holds no key.", "Restore it from a backup.") from error

    def _path(self, subject: str) -> Path:
        return self._folder / f"{sha256(subject.encode('utf-8', 'replace')).hexdigest()[:40]}.json"


def _context(subject: str) -> str:
    return f"garrison subject key {subject}"


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
