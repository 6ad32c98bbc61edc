"""An issuer's keys (JWK sets, RFC 7517): which of them may verify a token of which algorithm. Pure."""

from __future__ import annotations

import logging
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from garrison.protocol.wellformed import read_object

DOCUMENT_BYTES_MAX = 256 * 1024
KEYS_MAX = 64
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
"""RFC 7518, 3.3; the upper bound because a key costs more the longer it is."""
TRIED_MAX = 4
"""Keys that a token without `kid` is tried with."""

_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_ED25519 = frozenset({"EdDSA", "Ed25519"})

log = logging.getLogger(__name__)
VerifyingKey = RSAKey | ECKey | OKPKey


class IssuerKey:
    """One public key, with what its set says of its use."""

    __slots__ = ("_algorithm", "_curve", "_kind", "key_id", "public")

    def __init__(self, public: VerifyingKey, found: Mapping[str, Any]) -> None:
        self.public = public
        self.key_id: str | None = found.get("kid")
        self._kind, self._curve, self._algorithm = found["kty"], found.get("crv"), found.get("alg")

    def suits(self, algorithm: str) -> bool:
        """Whether this key's type, curve and own `alg` allow it: no public key is ever taken for a shared secret."""
        if self._algorithm is not None and self._algorithm != algorithm:
            return {self._algorithm, algorithm} == _ED25519
        if self._kind != _FAMILIES.get(algorithm[:2]):
            return False
        if self._kind == "EC":
            return self._curve == _CURVES.get(algorithm)
        return self._kind == "RSA" or self._curve == "Ed25519"

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's, of exactly the length that the algorithm asks for."""
        try:
            model = JWSRegistry.algorithms[algorithm]
            model.check_key(self.public)
            return bool(model.verify(signed, signature, self.public))
        except (JoseError, ValueError, KeyError, UnsupportedAlgorithm):
            return False


class KeySet:
    """The usable keys of one document."""

    def __init__(self, keys: tuple[IssuerKey, ...]) -> None:
        self._keys = keys
        self.key_ids = frozenset(key.key_id for key in keys)
        self.prints = frozenset((key.key_id, key.public.thumbprint()) for key in keys)
        """What tells one set from another: ids, and the keys' thumbprints (RFC 7638)."""

    def __len__(self) -> int:
        return len(self._keys)

    def for_token(self, key_id: str | None, algorithm: str) -> tuple[IssuerKey, ...]:
        """Those that may have signed it; without a `kid`, all that suit, and none if they are too many to try."""
        named = self._keys if key_id is None else [key for key in self._keys if key.key_id == key_id]
        found = tuple(key for key in named if key.suits(algorithm))
        return found if len(found) <= TRIED_MAX else ()


def read_key_set(document: bytes) -> KeySet:
    """Keys that cannot be used are left out, with a word in the log. Raises `NotStrict` for what is no key set."""
    found = read_object(document, DOCUMENT_BYTES_MAX).get("keys")
    entries = found if isinstance(found, list) else []
    keys = []
    for position, entry in enumerate(entries[:KEYS_MAX]):
        why = _why_not(entry)
        if why:
            log.info("a key of an issuer is left out", extra={"position": position, "reason": why})
            continue
        try:
            keys.append(IssuerKey(_imported(entry), entry))
        except (JoseError, ValueError, KeyError, TypeError, UnsupportedAlgorithm) as error:
            log.warning(
                "a key of an issuer cannot be read", extra={"position": position, "reason": type(error).__name__}
            )
    return KeySet(tuple(keys))


def _why_not(entry: Any) -> str:
    """Why a member of the set is of no use to us; empty if it may be."""
    if not isinstance(entry, dict):
        return "it is no object"
    if entry.get("kty") not in ("RSA", "EC", "OKP"):
        return "it is of another type"
    if not _SECRET_MEMBERS.isdisjoint(entry):
        return "it is a private key, and everybody can read it"
    if entry.get("use", "sig") != "sig":
        return "it is not for signatures"
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return "it is not for verifying"
    if not all(isinstance(entry.get(name, ""), str) for name in ("kid", "alg", "crv", "n", "e", "x", "y")):
        return "a member is no text"
    return _weak_rsa(entry) if entry["kty"] == "RSA" else ""


def _weak_rsa(entry: dict[str, Any]) -> str:
    try:
        modulus, exponent = _number(entry["n"]), _number(entry["e"])
    except (KeyError, ValueError):
        return "its numbers cannot be read"
    if not RSA_BITS_MIN <= modulus.bit_length() <= RSA_BITS_MAX:
        return f"it does not have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits"
    return "" if exponent >= 3 and exponent % 2 and exponent.bit_length() <= 64 else "its exponent is not safe"


def _number(text: str) -> int:
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def _imported(entry: dict[str, Any]) -> VerifyingKey:
    """The public numbers alone: what else stands there (certificates, addresses) is not looked at."""
    kinds: dict[str, tuple[type[Any], tuple[str, ...]]] = {
        "RSA": (RSAKey, ("kty", "n", "e")),
        "EC": (ECKey, ("kty", "crv", "x", "y")),
        "OKP": (OKPKey, ("kty", "crv", "x")),
    }
    kind, members = kinds[entry["kty"]]
    key: VerifyingKey = kind.import_key({name: entry[name] for name in members})
    _ = key.public_key  # a point that is not on its curve is found now
    return key
