"""Bearer tokens: verified once, then known by their hash until they expire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from garrison.catalog.issuers import IssuerSpec
from garrison.identity.issuer_source import Fetch, IssuerSource
from garrison.identity.resources import Resources
from garrison.identity.token_reading import ReadToken, read_token, refused
from garrison.identity.token_rules import Proven, TokenRules
from garrison.kernel.clock import Clock

KNOWN_MAX = 10_000
"""Verified tokens that are remembered; beyond it, those verified first are verified again."""


@dataclass(frozen=True, slots=True)
class _Issuer:
    rules: TokenRules
    source: IssuerSource


class Tokens:
    """The tokens of all issuers. `changed` is called when what was verified may not hold any more."""

    def __init__(self, clock: Clock, fetch: Fetch, resources: Resources, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._fetch = fetch
        self._resources = resources
        self._changed = changed
        self._issuers: dict[str, _Issuer] = {}
        """By their identifiers."""
        self._known: dict[bytes, Proven] = {}
        """By the SHA-256 of the whole token; the token itself is not kept."""

    def __bool__(self) -> bool:
        return bool(self._issuers)

    def replace(self, specs: Mapping[str, IssuerSpec]) -> None:
        """Take over another snapshot's issuers; those that are as before keep their keys and tokens."""
        before, self._issuers = self._issuers, {}
        for name, spec in specs.items():
            old = before.get(spec.issuer)
            is_same = old is not None and (old.rules.name, old.rules.spec) == (name, spec)
            self._issuers[spec.issuer] = old if old is not None and is_same else self._new(name, spec)
        gone = [issuer for issuer, old in before.items() if self._issuers.get(issuer) is not old]
        for issuer in gone:
            before[issuer].source.close()
            self._forget(issuer)

    def close(self) -> None:
        for one in self._issuers.values():
            one.source.close()

    def known(self, presented: str, endpoint: str) -> Proven | None:
        """A token that was verified before, still holds, and is meant for this endpoint."""
        digest = sha256(presented.encode("utf-8", "replace")).digest()
        found = self._known.get(digest)
        if found is None:
            return None
        if self._clock.wall_ns() >= found.ends_ns:
            del self._known[digest]
            return None
        return found if self._is_meant(found, endpoint) else None

    def verify(self, presented: str, endpoint: str) -> Proven | Awaitable[Proven]:
        """Verify it, now or, if keys have to be read first, later.

        Raises `Unauthenticated` (`token.…`), or `Unavailable` while its issuer cannot be reached.
        """
        token = read_token(presented)
        issuer = self._issuers.get(token.issuer)
        if issuer is None:
            raise refused("issuer", "the token is of an issuer whose tokens are not taken here")
        issuer.rules.check_header(token)
        keys = issuer.source.keys_for(token.key_id, token.algorithm)
        if keys is None:
            return self._verify_later(presented, endpoint, token, issuer)
        return self._verified(presented, endpoint, token, issuer)

    async def _verify_later(self, presented: str, endpoint: str, token: ReadToken, issuer: _Issuer) -> Proven:
        await issuer.source.refresh()
        return self._verified(presented, endpoint, token, issuer)

    def _verified(self, presented: str, endpoint: str, token: ReadToken, issuer: _Issuer) -> Proven:
        keys = issuer.source.keys_for(token.key_id, token.algorithm) or ()
        if not keys:
            raise refused("key", f"no key of issuer {issuer.rules.name} fits the token's `kid` and `alg`")
        if not any(key.verifies(token.algorithm, token.signed, token.signature) for key in keys):
            raise refused("signature", "the token's signature is not its issuer's")
        proven = issuer.rules.proven(token, self._clock.wall_ns())
        if not self._is_meant(proven, endpoint):
            raise refused("audience", "the token is meant for somebody else (`aud`)", self._resources.hint(endpoint))
        if len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[sha256(presented.encode()).digest()] = proven
        return proven

    def _is_meant(self, proven: Proven, endpoint: str) -> bool:
        """RFC 8707: for one of the issuer's audiences or for all of us, or for just the endpoint that is asked."""
        issuer = self._issuers.get(proven.principal.issuer)
        if issuer is None:
            return False
        named = not proven.audiences.isdisjoint(issuer.rules.spec.audiences)
        return named or self._resources.are_meant(proven.audiences, endpoint)

    def _new(self, name: str, spec: IssuerSpec) -> _Issuer:
        source = IssuerSource(spec, self._fetch, self._clock, lambda: self._withdrawn(spec.issuer))
        return _Issuer(TokenRules(name, spec), source)

    def _withdrawn(self, issuer: str) -> None:
        """A key of this issuer is gone, and with it what it has signed."""
        self._forget(issuer)
        self._changed()

    def _forget(self, issuer: str) -> None:
        self._known = {digest: one for digest, one in self._known.items() if one.principal.issuer != issuer}
