"""The file of stored secrets: names, and of each its versions, every value sealed by the envelope. Pure but for it.

A manifest, sealed as well, holds the digest of all names and versions and the number of the last change, so that an
entry that was removed, added or put back is noticed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from garrison.identity.envelope import Envelope
from garrison.kernel.errors import Invalid

VERSIONS_MAX: Final = 5
_MANIFEST: Final = "secrets manifest"


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value of a secret. `since_ns`: when it was stored, wall time. Numbers begin at 1 and do not come again."""

    number: int
    since_ns: int
    sealed: str


class SecretFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`change` grows with each change. Of each secret the newest version is the last."""

    version: int = 2
    change: int = 0
    entries: dict[str, tuple[Version, ...]] = {}
    manifest: str = ""


class FormerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first format: values sealed by the key in the key file itself, named by `key_id`."""

    version: int
    key_id: str = ""
    entries: dict[str, str] = {}


class _Format(msgspec.Struct):
    version: int = 1


def decoded(data: bytes) -> SecretFile | FormerFile:
    """Raises msgspec's errors for what is neither."""
    if msgspec.json.decode(data, type=_Format).version == 1:
        return msgspec.json.decode(data, type=FormerFile)
    return msgspec.json.decode(data, type=SecretFile)


def encoded(file: SecretFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file, order="sorted"))


def changed(file: SecretFile, entries: Mapping[str, tuple[Version, ...]], envelope: Envelope) -> SecretFile:
    """With these entries, under a new manifest."""
    bare = SecretFile(change=file.change + 1, entries=dict(entries))
    manifest = b64encode(envelope.wrap(_digest(bare), _MANIFEST)).decode()
    return msgspec.structs.replace(bare, manifest=manifest)


def is_whole(file: SecretFile, envelope: Envelope) -> bool:
    """Whether it is as it was written. Raises what the envelope raises where there is no usable key."""
    if not file.manifest:
        return not file.entries and not file.change
    try:
        return envelope.unwrap(b64decode(file.manifest, validate=True), _MANIFEST) == _digest(file)
    except ValueError:
        return False


def seal(envelope: Envelope, name: str, number: int, value: str) -> str:
    return b64encode(envelope.wrap(value.encode(), _context(name, number))).decode()


def unseal(envelope: Envelope, name: str, version: Version) -> str:
    """Raises `Invalid` (`secrets.tampered`) naming the secret."""
    try:
        return envelope.unwrap(b64decode(version.sealed, validate=True), _context(name, version.number)).decode()
    except (ValueError, Invalid) as error:
        if isinstance(error, Invalid) and error.code != "secrets.tampered":
            raise
        hint = "Restore the file from a backup, or set this secret anew."
        raise Invalid("secrets.tampered", f"The secret {name} was changed or damaged.", hint) from error


def _context(name: str, number: int) -> str:
    return f"secret {name} {number}"


def _digest(file: SecretFile) -> bytes:
    return sha256(msgspec.json.encode([file.change, file.entries], order="deterministic")).digest()
