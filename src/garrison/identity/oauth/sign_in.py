"""Signing in: a principal lets Garrison act for it at one server (authorisation code with PKCE).

A sign-in is bound to the principal that it was prepared for and to the one browser that opened it, is used once, and
ends after a few minutes. What comes back must be from the issuer that was asked (RFC 9207).
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from urllib.parse import urlencode

from garrison.catalog.credentials import AuthSpec
from garrison.catalog.spec import ServerSpec
from garrison.identity.oauth.credentials import Credentials, Means
from garrison.identity.oauth.discovery import Found, discover
from garrison.identity.oauth.grants import Endpoint
from garrison.identity.oauth.metadata import check_for_codes
from garrison.identity.oauth.places import Places
from garrison.identity.oauth.registration import CALLBACK, client_for
from garrison.identity.oauth.tokens import Client, Token
from garrison.kernel.errors import Denied, Invalid, Limited, NotFound

BEGIN = "/oauth/begin"
LIFE_S = 600.0
PENDING_MAX = 1000
PENDING_PER_PRINCIPAL_MAX = 20
OFFLINE = "offline_access"


@dataclass
class Pending:
    """One sign-in under way. What is secret of it is in no repr."""

    server: str
    principal: str
    name: str
    """The principal's, for people to read."""
    found: Found
    client: Client
    places: Places
    server_url: str
    base: str
    ends_s: float
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """Opens our own page."""
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    browser: str = field(default="", repr=False)
    """The cookie of the browser that opened our page; no other can go on."""

    @property
    def url(self) -> str:
        return f"{self.base}{BEGIN}?ticket={self.ticket}"

    @property
    def issuer(self) -> str:
        return self.found.issuer.issuer

    @property
    def scopes(self) -> tuple[str, ...]:
        offline = (OFFLINE,) if OFFLINE in self.found.issuer.scopes_supported else ()
        return tuple(dict.fromkeys((*self.found.scopes, *offline)))

    def there(self) -> str:
        """Where the browser goes: the issuer's own page."""
        challenge = urlsafe_b64encode(sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.base + CALLBACK,
            "state": self.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"resource": self.found.resource} if self.found.resource else {}),
            **({"scope": " ".join(self.scopes)} if self.scopes else {}),
            **({"prompt": "consent"} if OFFLINE in self.scopes else {}),
        }
        endpoint = self.found.issuer.authorization_endpoint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


class SignIns:
    """Those under way, in this process; `base`: the URL that browsers reach us by."""

    def __init__(self, means: Means, credentials: Credentials) -> None:
        self._means = means
        self._credentials = credentials
        self._pending: dict[str, Pending] = {}
        """By ticket."""
        self._spent: dict[str, float] = {}
        """Tickets that were used, and when they would have ended anyway (Unix seconds)."""

    async def prepare(
        self, spec: ServerSpec, principal: str, name: str, base: str, *, ticket: str = "", scopes: Sequence[str] = ()
    ) -> Pending:
        """Find out where to sign in. `spec`: with its references filled in. Raises typed errors.

        `ticket`: of an invitation, which is used up by this. `scopes`: what the server wants beside the usual.
        """
        auth = spec.auth
        if auth is None or auth.kind != "authorization_code":
            message = f"nobody signs in at server {spec.name}"
            raise Invalid("auth.no_sign_in", message, "its auth is not of kind authorization_code")
        self._make_room(principal)
        places = Places.of(self._means.outbound, spec)
        found = await discover(places, spec)
        more = (*scopes, *self._credentials.more.get((spec.name, principal), ()))
        found = replace(found, scopes=tuple(dict.fromkeys((*found.scopes, *more))))
        check_for_codes(found.issuer)
        places.way(found.issuer.authorization_endpoint)  # the browser is not sent where a credential must not go
        client = await self._client(places, auth, found, base)
        pending = Pending(spec.name, principal, name, found, client, places, spec.url, base, self._now_s() + LIFE_S)
        if ticket:
            pending.ticket = ticket
        self._spent[pending.ticket] = pending.ends_s
        self._pending[pending.ticket] = pending
        return pending

    def is_spent(self, ticket: str) -> bool:
        """Whether a sign-in with this ticket was begun here."""
        return ticket in self._spent

    def open(self, ticket: str, browser: str) -> Pending:
        """The page was opened by a browser, with the cookie that it has, if any. Raises `NotFound` or `Denied`."""
        pending = self._find(ticket)
        if not pending.browser:
            pending.browser = secrets.token_urlsafe(32)
        elif not hmac.compare_digest(pending.browser.encode(), browser.encode()):
            raise Denied("auth.other_browser", "this sign-in was begun in another browser", "begin a new one")
        return pending

    def go(self, ticket: str, browser: str) -> str:
        """The person agreed: where the browser goes now."""
        pending = self._find(ticket)
        _check_browser(pending, browser)
        return pending.there()

    async def finish(self, answer: Mapping[str, str], browser: str) -> Pending:
        """The browser came back. Raises why nobody is signed in; whatever happens, this sign-in is over."""
        pending = self._take(answer.get("state", ""))
        _check_browser(pending, browser)
        _check_issuer(pending, answer.get("iss"))
        if "error" in answer or not answer.get("code"):
            raise Denied("auth.declined", f"the sign-in at server {pending.server} was declined", "begin a new one")
        issuer = pending.found.issuer
        endpoint = Endpoint(pending.places, issuer.token_endpoint, issuer.issuer, pending.client, pending.server_url)
        redirect_uri = pending.base + CALLBACK
        token = await endpoint.for_code(
            answer["code"], pending.verifier, redirect_uri, pending.found.resource, self._now_s()
        )
        await self._keep(pending, token)
        return pending

    async def end(self, server: str, principal: str) -> bool:
        """Forget what was agreed to; whether there was anything."""
        self.withdraw(server, principal)
        return await asyncio.to_thread(self._means.store.forget, server, principal)

    def withdraw(self, server: str, principal: str) -> None:
        """Show nothing any more, in this process."""
        self._credentials.forget(server, principal)

    def principals(self, server: str) -> list[str]:
        """Who has signed in there through this process, or been renewed by it; keys are known otherwise."""
        return self._credentials.principals(server)

    async def standing(self, server: str, principal: str) -> Token | None:
        return await asyncio.to_thread(self._means.store.token, server, principal)

    async def _keep(self, pending: Pending, token: Token) -> None:
        server, principal = pending.server, pending.principal
        async with self._means.store.alone(server, principal):
            await asyncio.to_thread(self._means.store.keep, server, principal, token)
        self._credentials.signed_in(server, principal, token)

    async def _client(self, places: Places, auth: AuthSpec, found: Found, base: str) -> Client:
        return await client_for(places, self._means.store, auth, found.issuer, base)

    def _make_room(self, principal: str) -> None:
        now_s = self._now_s()
        self._pending = {ticket: one for ticket, one in self._pending.items() if one.ends_s > now_s}
        self._spent = {ticket: ends_s for ticket, ends_s in self._spent.items() if ends_s > now_s}
        own = [ticket for ticket, one in self._pending.items() if one.principal == principal]
        for ticket in own[: max(0, len(own) - PENDING_PER_PRINCIPAL_MAX + 1)]:
            del self._pending[ticket]
        if len(self._pending) >= PENDING_MAX:
            raise Limited("auth.too_many", "too many sign-ins are under way", "try again later", 60.0)

    def _find(self, ticket: str) -> Pending:
        pending = self._pending.get(ticket)
        if pending is None or pending.ends_s <= self._now_s():
            raise NotFound("auth.no_such_sign_in", "this sign-in is over, or there never was one", "begin a new one")
        return pending

    def _take(self, state: str) -> Pending:
        """Found in a time that tells nothing of the states that there are."""
        found = [one for one in self._pending.values() if hmac.compare_digest(one.state.encode(), state.encode())]
        if not found:
            raise NotFound("auth.no_such_sign_in", "this sign-in is over, or there never was one", "begin a new one")
        self._pending.pop(found[0].ticket)
        if found[0].ends_s <= self._now_s():
            raise NotFound("auth.no_such_sign_in", "this sign-in took too long", "begin a new one")
        return found[0]

    def _now_s(self) -> float:
        return self._means.clock.wall_ns() / 1e9


def _check_browser(pending: Pending, browser: str) -> None:
    if not pending.browser or not hmac.compare_digest(pending.browser.encode(), browser.encode()):
        raise Denied("auth.other_browser", "this sign-in was begun in another browser", "begin a new one")


def _check_issuer(pending: Pending, named: str | None) -> None:
    """Another issuer's answer must not be taken for this one's (mix-up, RFC 9207)."""
    expected = pending.found.issuer
    missing = named is None and expected.authorization_response_iss_parameter_supported
    if missing or (named is not None and expected.issuer and named != expected.issuer):
        raise Denied("auth.issuer_mismatch", "the answer comes from another issuer than the one asked", "begin anew")
