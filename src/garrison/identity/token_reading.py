"""Reading a signed token (JWS compact serialisation, RFC 7515) before anything in it is believed. Pure.

Everything that has led verifiers astray is refused here, before a key is looked for: encrypted and nested tokens, keys
and addresses of keys brought along, extensions that we would have to understand, other spellings of the same bytes.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from garrison.kernel.errors import Unauthenticated
from garrison.protocol.wellformed import NotStrict, read_object

TOKEN_CHARS_MAX = 8192
HEADER_BYTES_MAX = 1024
KEY_ID_CHARS_MAX = 256
DEPTH_MAX = 16
"""Levels of a header or of claims."""

_PART = re.compile(r"[A-Za-z0-9_-]+")
_KEY_ID = re.compile(r"[\x20-\x7e]{0,256}")
_FORBIDDEN = ("jku", "jwk", "x5u", "x5c", "crit", "b64", "enc", "zip", "cty", "epk", "p2s", "p2c")
"""A key that the sender chose (RFC 8725, 3.10), what we would have to understand, and what belongs to encryption."""
_TYPES = {"at+jwt": "at+jwt", "application/at+jwt": "at+jwt", "jwt": "jwt", "application/jwt": "jwt", "": "none"}
_HINT = "get a new token from the authorisation server"


@dataclass(frozen=True, slots=True)
class ReadToken:
    """What a token says of itself; nothing of it is proven yet. `kind`: `at+jwt`, `jwt`, or `none` without a `typ`."""

    algorithm: str
    key_id: str | None
    kind: str
    issuer: str
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def looks_like_token(presented: str) -> bool:
    """Whether this can only be meant as a JWS or JWE: API keys have no dots."""
    return presented.count(".") >= 2


def read_token(presented: str) -> ReadToken:
    """Raises `Unauthenticated` (`token.malformed`, `token.header`, `token.claims`)."""
    header_part, claims_part, signature_part = _parts(presented)
    header = _object(header_part, "header", HEADER_BYTES_MAX)
    algorithm, key_id = _header_text(header, "alg"), _key_id(header)
    kind = _TYPES.get(_header_text(header, "typ").lower())
    if kind is None:
        raise refused("type", "the token is of another type: its `typ` is not at+jwt or JWT")
    claims = _object(claims_part, "claims", TOKEN_CHARS_MAX)
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        raise refused("claims", "the token does not say who issued it (`iss`)")
    signed = f"{header_part}.{claims_part}".encode("ascii")
    return ReadToken(algorithm, key_id, kind, issuer, claims, signed, _decoded(signature_part, "signature"))


def subject_of(presented: str) -> tuple[str, str] | None:
    """Issuer and subject that a token claims; proves nothing."""
    try:
        token = read_token(presented)
    except Unauthenticated:
        return None
    subject = token.claims.get("sub")
    return (token.issuer, subject) if isinstance(subject, str) else None


def refused(code: str, message: str, hint: str = _HINT) -> Unauthenticated:
    """The messages hold nothing that the token brought."""
    return Unauthenticated(f"token.{code}", message, hint)


def _parts(presented: str) -> list[str]:
    if len(presented) > TOKEN_CHARS_MAX:
        raise refused("malformed", f"the token is longer than {TOKEN_CHARS_MAX} characters")
    parts = presented.split(".")
    if len(parts) == 5:
        raise refused("malformed", "encrypted tokens are not taken here", "the issuer must send signed ones")
    if len(parts) != 3:
        raise refused("malformed", "the token does not have three parts")
    return parts


def _decoded(part: str, what: str) -> bytes:
    """Base64url without padding (RFC 7515, 2), in the one spelling that these bytes have."""
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise refused("malformed", f"the token's {what} is not base64url")
    found = b64decode(part + "=" * (-len(part) % 4), altchars=b"-_")
    if b64encode(found, altchars=b"-_").rstrip(b"=") != part.encode("ascii"):
        raise refused("malformed", f"the token's {what} is not base64url in its canonical form")
    return found


def _object(part: str, what: str, size_bytes_max: int) -> dict[str, Any]:
    try:
        found = read_object(_decoded(part, what), size_bytes_max, DEPTH_MAX)
    except NotStrict as error:
        raise refused("malformed", f"the token's {what} cannot be read: {error}") from None
    if what == "header":
        for name in _FORBIDDEN:
            if name in found:
                raise refused("header", f"the token's header holds `{name}`, which is not taken here")
    return found


def _header_text(header: dict[str, Any], name: str) -> str:
    found = header.get(name, "")
    if not isinstance(found, str):
        raise refused("header", f"the token's `{name}` is no text")
    return found


def _key_id(header: dict[str, Any]) -> str | None:
    """A name to look up in memory and nothing else: no path, no query, no address."""
    found = header.get("kid")
    if found is not None and (not isinstance(found, str) or not _KEY_ID.fullmatch(found)):
        raise refused("header", f"the token's `kid` is no plain text of at most {KEY_ID_CHARS_MAX} characters")
    return found
