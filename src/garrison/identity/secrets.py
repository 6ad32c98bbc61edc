"""Stored secrets by name, in a file that the envelope seals.

Noticed: a value changed or moved to another name, an entry removed or added, and an older copy of the file put back
(the number of the last change is kept, sealed, in a second file, and in the memory of every process that read it).
Not noticed: that everything in the home was put back as it was at one moment, while nothing runs.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from garrison.identity.envelope import Envelope, envelope_of
from garrison.identity.master_keys import KeyFile
from garrison.identity.secret_file import (
    VERSIONS_MAX,
    FormerFile,
    SecretFile,
    Version,
    changed,
    decoded,
    encoded,
    is_whole,
    seal,
    unseal,
)
from garrison.kernel.alone import alone
from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from garrison.kernel.home import Home, write_private
from garrison.telemetry.redaction import Redactor, redactor

VALUE_BYTES_MAX = 64 * 1024
_NONCE_BYTES = 12
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_HEAD = "secrets head"


@dataclass(frozen=True)
class Stored:
    """What may be shown of a secret. `version` counts its values; `former`: how many of them are still kept."""

    name: str
    version: int
    since_ns: int
    former: int


class SecretsFile:
    """Several processes may use the same file. A value once read is masked in logs from then on."""

    def __init__(
        self,
        path: Path,
        envelope: Envelope,
        mask: Redactor = redactor,
        clock: Clock = SystemClock(),  # noqa: B008  has no state
    ) -> None:
        self._path = path
        self._head = path.with_suffix(".head")
        self._envelope = envelope
        self._mask = mask
        self._clock = clock
        self._last_change = 0

    def __repr__(self) -> str:
        return f"SecretsFile({str(self._path)!r})"

    def get(self, name: str) -> str:
        """The newest value. NotFound, or Invalid (`secrets.wrong_key`, `secrets.tampered`, `secrets.rolled_back`)."""
        versions = self._read().entries.get(name)
        if not versions:
            raise _unknown(name)
        value = unseal(self._envelope, name, versions[-1])
        self._mask.add(value)
        return value

    def set(self, name: str, value: str) -> None:
        """Store or replace; former values are not kept. The keys are made on the first use."""
        self._put(name, value, keep=0)

    def rotate(self, name: str, value: str) -> None:
        """Another value from now on; the former ones are kept, at most `VERSIONS_MAX` in all. NotFound."""
        if name not in self._read().entries:
            raise _unknown(name)
        self._put(name, value, keep=VERSIONS_MAX - 1)

    def go_back(self, name: str) -> None:
        """The value before the last rotation counts again, and the last one goes. NotFound, Conflict."""
        with self._changing() as (file, entries):
            if name not in file.entries:
                raise _unknown(name)
            if len(file.entries[name]) < 2:
                raise Conflict("secrets.no_former", f"No former value of {name} is kept.", "Set it anew.")
            entries[name] = file.entries[name][:-1]

    def remove(self, name: str) -> None:
        """NotFound if there is none of that name."""
        with self._changing() as (file, entries):
            if name not in file.entries:
                raise _unknown(name)
            del entries[name]

    def list(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._read().entries))

    def stored(self) -> tuple[Stored, ...]:
        """All of them, by name."""
        found = sorted(self._read().entries.items())
        return tuple(Stored(name, each[-1].number, each[-1].since_ns, len(each) - 1) for name, each in found)

    def renew(self) -> None:
        """Seal everything anew, by the present data key: after another one was made, or for the first format."""
        with self._changing() as (file, entries):
            for name, versions in file.entries.items():
                entries[name] = tuple(self._resealed(name, version) for version in versions)

    def _resealed(self, name: str, version: Version) -> Version:
        value = unseal(self._envelope, name, version)
        return msgspec.structs.replace(version, sealed=seal(self._envelope, name, version.number, value))

    def _put(self, name: str, value: str, keep: int) -> None:
        _check(name, value)
        self._mask.add(value)
        with self._changing() as (file, entries):
            former = file.entries.get(name, ())
            number = former[-1].number + 1 if former else 1
            new = Version(number, self._clock.wall_ns(), seal(self._envelope, name, number, value))
            entries[name] = (*former[max(len(former) - keep, 0) :], new)

    @contextmanager
    def _changing(self) -> Iterator[tuple[SecretFile, dict[str, tuple[Version, ...]]]]:
        """The file, and its entries to change; written when all went well. One writer at a time."""
        try:
            with alone(self._path):
                file = self._read()
                entries = dict(file.entries)
                if not self._head.exists():
                    self._note(file.change)  # from now on a missing head means that it was taken away
                yield file, entries
                new = changed(file, entries, self._envelope)
                write_private(self._path, encoded(new))
                self._note(new.change)
        except OSError as error:
            raise Unavailable("secrets.unwritable", f"{self._path} cannot be written: {error.strerror}.") from error

    def _read(self) -> SecretFile:
        seen = max(self._last_change, self._noted())  # before the file is read: it may be changed meanwhile
        file = self._decoded()
        if isinstance(file, FormerFile):
            file = self._of_before(file)
            self._check_age(file, seen)
            return file
        if not is_whole(file, self._envelope):
            hint = f"Restore {self._path.name} and {self._head.name} from one backup."
            raise Invalid("secrets.tampered", f"{self._path} was changed or damaged.", hint)
        self._check_age(file, seen)
        return file

    def _decoded(self) -> SecretFile | FormerFile:
        try:
            return decoded(self._path.read_bytes())
        except FileNotFoundError:
            return SecretFile()
        except OSError as error:
            raise Unavailable("secrets.unreadable", f"{self._path} cannot be read: {error.strerror}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid("secrets.tampered", f"{self._path} is damaged.", "Restore it from a backup.") from error

    def _check_age(self, file: SecretFile, seen: int) -> None:
        """That it is not older than one that was seen before. The head is written after it, so it may be newer."""
        if file.change < seen or (file.change and not self._head.exists()):
            message = f"{self._path} is an older copy: change {file.change}, where {seen} was seen."
            hint = f"Restore {self._path.name} and {self._head.name} from one backup."
            raise Invalid("secrets.rolled_back", message, hint)
        self._last_change = file.change

    def _noted(self) -> int:
        try:
            return int(self._envelope.unwrap(b64decode(self._head.read_bytes(), validate=True), _HEAD))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise Invalid("secrets.tampered", f"{self._head} is damaged.", "Restore it from a backup.") from error

    def _note(self, change: int) -> None:
        write_private(self._head, b64encode(self._envelope.wrap(str(change).encode(), _HEAD)))
        self._last_change = change

    def _of_before(self, former: FormerFile) -> SecretFile:
        """A file of the first format, which the next change rewrites. Raises as `get`."""
        key = KeyFile(self._envelope.key_file).key(former.key_id) if former.entries else b""
        entries: Mapping[str, str] = {name: _opened_before(key, name, one) for name, one in former.entries.items()}
        return SecretFile(
            entries={name: (Version(1, 0, seal(self._envelope, name, 1, value)),) for name, value in entries.items()}
        )


def secrets_of(home: Home) -> SecretsFile:
    return SecretsFile(home.secrets, envelope_of(home))


def _unknown(name: str) -> NotFound:
    return NotFound("secrets.unknown", f"There is no secret {name[:128]!r}.", "`garrison secrets list` names them.")


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


def _opened_before(key: bytes, name: str, sealed: str) -> str:
    """A value of the first format."""
    try:
        data = b64decode(sealed, validate=True)
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], name.encode()).decode()
    except (InvalidTag, ValueError) as error:
        hint = "Restore the file from a backup, or set this secret anew."
        raise Invalid("secrets.tampered", f"The secret {name} was changed or damaged.", hint) from error
