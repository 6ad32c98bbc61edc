"""Signed checkpoints, pure: the text that vouches for the log at one size, and its Ed25519 signatures.

The form is that of C2SP's signed-note and tlog-checkpoint (https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint),
which other tools for transparency logs read as well:

    garrison/ledger/5f0c…            origin: which log
    4711                             size
    qF1m…=                           root of the tree, base64
    time 2026-11-22T00:14:46.123456Z an extension line: when it was made

    — garrison/ledger/5f0c… kR3x…=   name of the key, and base64 of key id (4 bytes) ‖ signature (64 bytes)

A public key is `NAME+KEY ID+BASE64`, the KEY ID being the first 4 bytes of SHA-256( NAME ‖ "\\n" ‖ 0x01 ‖ key ) in
hexadecimal and BASE64 standing for 0x01 ‖ key. At a change of keys both sign, the new one last.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from garrison.kernel.errors import Invalid
from garrison.protection.pages import Head

_ED25519 = b"\x01"
_PUBLIC = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_NOTE = re.compile(
    r"(?P<text>(?P<origin>\S+)\n(?P<size>0|[1-9]\d{0,18})\n(?P<root>\S+)\n(?:.+\n)*)\n(?P<signatures>(?:— .+\n)+)"
)
_SIGNATURE = re.compile(r"— (\S+) (\S+)")


@dataclass(frozen=True)
class PublicKey:
    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(_ED25519 + self.key).decode()}"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says; nothing of it is true before a signature has been looked at. `note`: the whole text."""

    origin: str
    head: Head
    note: str
    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]
    """Name of the key, its id, the signature."""

    def is_signed_by(self, public: PublicKey) -> bool:
        for name, key_id, signature in self.signatures:
            if name == public.name and key_id == public.id:
                return _is_valid(public.key, signature, self.text.encode())
        return False

    @property
    def for_others(self) -> str:
        """The note with the signature of the key in force alone: the only one that they can verify."""
        return f"{self.text}\n{self.note[self.note.rindex('—') :]}"

    @property
    def signer(self) -> str:
        """The last one who is named: whose key was in force from then on."""
        name, key_id, _ = self.signatures[-1]
        return f"{name}+{key_id.hex()}"


def public_of(private: Ed25519PrivateKey, name: str) -> PublicKey:
    return PublicKey(name, private.public_key().public_bytes_raw())


def parse_public(text: str) -> PublicKey:
    """Invalid (`ledger.public_key`) unless the text is a public key and its id is right."""
    found = _PUBLIC.fullmatch(text.strip())
    raw = _base64(found[3]) if found else None
    if found is None or raw is None or len(raw) != 33 or raw[:1] != _ED25519:
        raise _no_key()
    public = PublicKey(found[1], raw[1:])
    if public.id.hex() != found[2]:
        raise _no_key()
    return public


def sign(origin: str, head: Head, time: str, keys: Sequence[Ed25519PrivateKey]) -> str:
    """The signed note. `time`: RFC 3339. Every key signs, under the log's name."""
    text = f"{origin}\n{head.seq}\n{b64encode(head.root).decode()}\ntime {time}\n"
    return f"{text}\n" + "".join(_signature_line(text, key, origin) for key in keys)


def parse(note: str) -> Checkpoint | None:
    """None when this is no checkpoint of a log."""
    found = _NOTE.fullmatch(note)
    if found is None:
        return None
    root, signatures = _base64(found["root"]), [_signature(line) for line in found["signatures"][:-1].split("\n")]
    if root is None or len(root) != 32:
        return None
    known = tuple(one for one in signatures if one is not None)
    if len(known) != len(signatures):
        return None
    return Checkpoint(found["origin"], Head(int(found["size"]), root), note, found["text"], known)


def _signature_line(text: str, key: Ed25519PrivateKey, name: str) -> str:
    return f"— {name} {b64encode(public_of(key, name).id + key.sign(text.encode())).decode()}\n"


def _signature(line: str) -> tuple[str, bytes, bytes] | None:
    found = _SIGNATURE.fullmatch(line)
    raw = _base64(found[2]) if found else None
    return (found[1], raw[:4], raw[4:]) if found and raw is not None and len(raw) > 4 else None


def _is_valid(key: bytes, signature: bytes, text: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True


def _base64(text: str) -> bytes | None:
    """Strict: exactly one text stands for these bytes, so that none of its characters can be changed unnoticed."""
    try:
        found = b64decode(text, validate=True)
    except ValueError:
        return None
    return found if b64encode(found).decode() == text else None


def _no_key() -> Invalid:
    return Invalid("ledger.public_key", "This is not a ledger's public key.", "`garrison audit key` prints it.")
