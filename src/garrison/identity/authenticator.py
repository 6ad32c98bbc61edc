"""The authenticator: what a request presents becomes a principal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Mapping

from garrison.catalog.issuers import IssuerSpec
from garrison.identity.attempts import Attempts
from garrison.identity.issuer_source import Fetch
from garrison.identity.keys import KeyStore
from garrison.identity.principals import Principal
from garrison.identity.resources import Resources
from garrison.identity.token_reading import looks_like_token, subject_of
from garrison.identity.token_rules import Proven, principal_id_of
from garrison.identity.tokens import Tokens
from garrison.kernel.clock import Clock
from garrison.kernel.errors import Limited, Unauthenticated

FAILURES_MAX = 60
_KEY_HINT = "send `Authorization: Bearer KEY`; `garrison keys create` makes a key"


class Authenticator:
    """API keys and bearer tokens. A client certificate is turned into its principal where TLS ends, at the edge."""

    def __init__(
        self, keys: KeyStore, clock: Clock, fetch: Fetch, resources: Resources, failures_max: int = FAILURES_MAX
    ) -> None:
        self._keys = keys
        self.resources = resources
        self.attempts = Attempts(failures_max, clock.monotonic_s)
        self._tokens = Tokens(clock, fetch, resources, self._renew)
        self.edition = object()
        """Another one whenever keys or issuers changed: what was decided before may not hold any more."""
        self.failures: Counter[str] = Counter()
        """How often somebody was not known, by the error's code."""
        keys.on_changed(self._renew)

    def replace(self, issuers: Mapping[str, IssuerSpec]) -> None:
        """Take over another snapshot's issuers."""
        self._tokens.replace(issuers)
        self.resources.issuers = dict(issuers)
        self._renew()

    def close(self) -> None:
        self._tokens.close()

    def identify(self, presented: str, endpoint: str, address: str = "") -> Principal | Awaitable[Principal]:
        """Who presents this to the endpoint; an awaitable where an issuer's keys have to be read first.

        Raises `Unauthenticated`; `Limited` for an address that failed too often; `Unavailable` when it cannot be known.
        """
        if not presented:
            self.failures["key.missing"] += 1
            raise Unauthenticated("key.missing", "no API key or token was presented", _KEY_HINT)
        if self._tokens and looks_like_token(presented):
            return self._bearer(presented, endpoint, address)
        principal = self._keys.verify(presented)
        if principal is None:
            raise self._failed(
                address, Unauthenticated("key.unknown", "the API key is not known, expired or revoked", _KEY_HINT)
            )
        return principal

    def known(self, presented: str, endpoint: str) -> tuple[Principal, int] | None:
        """Who presents this, as far as that needs no reading, and when it ends (nanoseconds, wall clock)."""
        if self._tokens and looks_like_token(presented):
            proven = self._tokens.known(presented, endpoint)
            return (proven.principal, proven.ends_ns) if proven is not None else None
        principal = self._keys.verify(presented)
        return (principal, self._keys.ends_ns(presented)) if principal is not None else None

    def holder(self, presented: str) -> str:
        """Whose this would be, were it right: the same at every worker, and for a key or token that replaces it. Proves
        nothing, so it says where state may be and never what is allowed."""
        if not looks_like_token(presented):
            return self._keys.holder(presented) or presented
        subject = subject_of(presented)
        return principal_id_of(*subject) if subject is not None else presented

    def why(self, presented: str, endpoint: str) -> tuple[str, ...]:
        """What made the roles of somebody who was just identified, in words."""
        proven = self._tokens.known(presented, endpoint) if looks_like_token(presented) else None
        return proven.why if proven is not None else ()

    def _bearer(self, presented: str, endpoint: str, address: str) -> Principal | Awaitable[Principal]:
        known = self._tokens.known(presented, endpoint)
        if known is not None:
            return known.principal
        wait_s = self.attempts.wait_s(address)
        if wait_s and not self.attempts.may_look():  # the signature is what an attack would cost
            raise self._too_many(wait_s)
        try:
            found = self._tokens.verify(presented, endpoint)
        except Unauthenticated as error:
            raise self._failed(address, error) from None
        return found.principal if isinstance(found, Proven) else self._bearer_later(found, address)

    async def _bearer_later(self, proof: Awaitable[Proven], address: str) -> Principal:
        try:
            return (await proof).principal
        except Unauthenticated as error:
            raise self._failed(address, error) from None

    def _failed(self, address: str, error: Unauthenticated) -> Unauthenticated | Limited:
        wait_s = self.attempts.wait_s(address)
        if wait_s:
            return self._too_many(wait_s)
        self.attempts.failed(address)
        self.failures[error.code] += 1
        return error

    def _too_many(self, wait_s: float) -> Limited:
        self.failures["auth.failures"] += 1
        message = "too many failed authentications from this address"
        return Limited("auth.failures", message, "what is right is served again after a while", wait_s)

    def _renew(self) -> None:
        self.edition = object()
