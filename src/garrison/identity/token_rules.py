"""What an issuer's tokens must say, and whom they make of their bearer (RFC 7519, RFC 9068, RFC 8725). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from garrison.catalog.issuers import IssuerSpec
from garrison.identity.principals import Principal
from garrison.identity.roles import ADMIN_ROLE
from garrison.identity.token_reading import ReadToken, refused

SUBJECT_CHARS_MAX = 255
AUDIENCES_MAX = 64
TEXTS_MAX = 512
"""Groups, roles or scopes that are looked at of one token."""
_NAME_CHARS_MAX = 128
_TEXT_CHARS_MAX = 256
_DATE_MAX = 2**53
"""Seconds; beyond it numbers of JSON are not exact (RFC 7493, 2.2)."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Proven:
    """What a verified token says. `audiences`: whom it is meant for; `ends_ns`: until when, wall clock; `why`: what
    made its bearer's roles, for people."""

    principal: Principal
    audiences: frozenset[str]
    ends_ns: int
    why: tuple[str, ...] = ()


class TokenRules:
    """Of one issuer. `name` is what garrison.yaml calls it."""

    def __init__(self, name: str, spec: IssuerSpec) -> None:
        self.name = name
        self.spec = spec

    def check_header(self, token: ReadToken) -> None:
        """Raises `Unauthenticated` unless the token is of a kind and an algorithm that are taken from this issuer."""
        if token.algorithm not in self.spec.algorithms:
            raise refused("algorithm", f"the token's algorithm is not one of those taken from issuer {self.name}")
        if token.kind not in self.spec.types:
            raise refused("type", f"the token's type is not one of those taken from issuer {self.name}")

    def proven(self, token: ReadToken, now_ns: int) -> Proven:
        """What a token whose signature was verified says. Raises `Unauthenticated` if that is not enough."""
        claims, spec = token.claims, self.spec
        if token.issuer != spec.issuer:
            raise refused("issuer", "the token is of another issuer")
        ends_ns = self._times(claims, now_ns)
        audiences = _audiences(claims.get("aud"))
        if "cnf" in claims:
            raise refused("bound", "the token is bound to a key that its bearer did not prove to have")
        self._check_client(claims)
        for name, wanted in spec.require.items():
            if not _holds(_claim(claims, name), wanted):
                raise refused("required", f"the token's claim {name} is not what issuer {self.name} has to say there")
        principal, why = self._principal(claims)
        return Proven(principal, audiences, ends_ns, why)

    def _times(self, claims: Mapping[str, Any], now_ns: int) -> int:
        leeway_ns = self.spec.leeway_s * _NS
        expires, begins, issued = (_date(claims, name) for name in ("exp", "nbf", "iat"))
        if expires is None:
            raise refused("claims", "the token does not say when it expires (`exp`)")
        if now_ns >= expires + leeway_ns:
            raise refused("expired", "the token has expired")
        if begins is not None and now_ns < begins - leeway_ns:
            raise refused("early", "the token is not valid yet (`nbf`)")
        if issued is not None and now_ns < issued - leeway_ns:
            raise refused("early", "the token was issued in the future (`iat`)", "do the clocks agree?")
        return expires + leeway_ns

    def _check_client(self, claims: Mapping[str, Any]) -> None:
        if not self.spec.clients:
            return
        named = [claims[name] for name in ("azp", "client_id") if name in claims]
        if not named or any(one not in self.spec.clients for one in named):
            raise refused("client", f"the token's client is not one of those taken from issuer {self.name}")

    def _principal(self, claims: Mapping[str, Any]) -> tuple[Principal, tuple[str, ...]]:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARS_MAX:
            raise refused("claims", "the token does not say whom it is about (`sub`)")
        spec = self.spec
        groups = tuple(_texts(_claim(claims, spec.claims.groups)))
        scopes = tuple(_words(_claim(claims, spec.claims.scopes)))
        claimed = tuple(_texts(_claim(claims, spec.claims.roles))) if spec.claims.roles else ()
        roles = self._roles(scopes, claimed)
        shown = _claim(claims, spec.claims.name)
        name = _printable(shown if isinstance(shown, str) and shown.strip() else subject)
        principal_id = principal_id_of(spec.issuer, subject)
        principal = Principal(principal_id, "token", name, tuple(roles), groups, scopes, spec.issuer)
        return principal, tuple(f"role {role}: {why}" for role, why in roles.items())

    def _roles(self, scopes: Iterable[str], claimed: Iterable[str]) -> dict[str, str]:
        """Roles, each with the first reason for it. What groups give is for policies to say."""
        spec = self.spec
        found = dict.fromkeys(spec.roles, f"every bearer of a token of issuer {self.name}")
        for scope in scopes:
            for role in spec.roles_by_scope.get(scope, ()):
                found.setdefault(role, f"scope {scope} of issuer {self.name}")
        for role in claimed:
            if role != ADMIN_ROLE:  # whoever writes claims does not rule the gateway, unless this file says so
                found.setdefault(role, f"claim {spec.claims.roles} of issuer {self.name}")
        return found


def principal_id_of(issuer: str, subject: str) -> str:
    """An id for people to read that only this subject of this issuer can have. API keys' ids hold no colon."""
    digest = sha256(f"{issuer}\x00{subject}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    readable = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in subject[:40])
    return f"{urlsplit(issuer).hostname or 'issuer'}:{readable}:{digest}"


def _date(claims: Mapping[str, Any], name: str) -> int | None:
    """A NumericDate (RFC 7519, 2) in nanoseconds."""
    found = claims.get(name)
    if found is None and name not in claims:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= _DATE_MAX:
        raise refused("claims", f"the token's `{name}` is no time")
    return int(found * _NS)


def _audiences(found: Any) -> frozenset[str]:
    audiences = [found] if isinstance(found, str) else found
    if not isinstance(audiences, list) or not 0 < len(audiences) <= AUDIENCES_MAX:
        raise refused("audience", "the token does not say whom it is meant for (`aud`)")
    if not all(isinstance(one, str) and one for one in audiences):
        raise refused("audience", "the token's `aud` holds something else than texts")
    return frozenset(audiences)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or, for a name with dots that none has, by the way inside."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        if not isinstance(found, dict) or step not in found:
            return None
        found = found[step]
    return found


def _holds(found: Any, wanted: str | bool | int) -> bool:
    """1 is not true: types have to agree as well."""
    if isinstance(found, list):
        return any(_holds(one, wanted) for one in found if not isinstance(one, list))
    return type(found) is type(wanted) and found == wanted


def _texts(found: Any) -> Iterable[str]:
    """One text or a list of them; whatever is no plain text says nothing."""
    texts = found if isinstance(found, list) else [found]
    plain = (one for one in texts[:TEXTS_MAX] if isinstance(one, str) and 0 < len(one) <= _TEXT_CHARS_MAX)
    return dict.fromkeys(one for one in plain if one.isprintable())


def _words(found: Any) -> Iterable[str]:
    return _texts(found.split(" ") if isinstance(found, str) else found)


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:_NAME_CHARS_MAX]
