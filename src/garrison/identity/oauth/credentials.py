"""Which credential each server is shown, and for whom. What is one principal's is never another's.

`header` and `client_credentials` are the same for all. With `token_exchange` and `authorization_code` each principal
has its own; the connection that all share, which reads lists and asks for signs of life, is then Garrison's own: its
own token where callers' are exchanged, the administrator's sign-in where principals sign in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from garrison.catalog.credentials import AuthSpec
from garrison.catalog.spec import ServerSpec
from garrison.identity.oauth.callers import CallerTokens
from garrison.identity.oauth.challenges import wanted
from garrison.identity.oauth.discovery import Found, discover
from garrison.identity.oauth.grants import FINAL, Endpoint, Refusal
from garrison.identity.oauth.held import HeldToken, SignInNeeded
from garrison.identity.oauth.places import Places
from garrison.identity.oauth.tokens import Client, Token, TokenStore
from garrison.kernel.clock import Clock
from garrison.kernel.errors import Invalid, Unsupported
from garrison.protocol.transports.credentials import Challenge, Credential
from garrison.protocol.transports.outbound import Outbound

HELD_MAX = 10_000


@dataclass(frozen=True)
class Means:
    """What credentials are got with. `administrator`: the principal whose sign-in the shared connection uses."""

    outbound: Outbound
    store: TokenStore
    callers: CallerTokens
    clock: Clock
    administrator: str


class Credentials:
    """Credentials by server and principal; each is made anew when its server's configuration changes."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._held: dict[tuple[str, str, str], tuple[tuple[object, ...], HeldToken]] = {}
        """By server, principal and URL."""
        self.more: dict[tuple[str, str], tuple[str, ...]] = {}
        """Scopes that a server asked for beyond what was agreed to, by server and principal."""

    def of(self, spec: ServerSpec, principal: str = "") -> Credential | None:
        """For a server whose references are filled in; no principal: for the connection that all share.

        None where the server is shown nothing but headers that stay as they are.
        """
        auth = spec.auth
        if auth is None or auth.kind == "header":
            return None
        if not auth.is_personal:
            principal = ""
        elif not principal and auth.kind == "authorization_code":
            principal = self._means.administrator
        return self._find(spec, auth, principal)

    def signed_in(self, server: str, principal: str, token: Token) -> None:
        """What is kept for them has changed."""
        self.more.pop((server, principal), None)
        for key, (_, held) in self._held.items():
            if key[:2] == (server, principal):
                held.take(token)

    def principals(self, server: str) -> list[str]:
        """For whom something of this server is held."""
        return sorted({key[1] for key in self._held if key[0] == server and key[1]})

    def forget(self, server: str, principal: str) -> None:
        for key in [key for key in self._held if key[:2] == (server, principal)]:
            self._held.pop(key)[1].take(None)

    def _find(self, spec: ServerSpec, auth: AuthSpec, principal: str) -> HeldToken:
        key, edition = (spec.name, principal, spec.url), (auth, spec.allow_private)
        found = self._held.get(key)
        if found is not None and found[0] == edition:
            return found[1]
        if len(self._held) >= HELD_MAX:
            self._held = {each: one for each, one in self._held.items() if one[1].is_watched}
        made = self._made(Source(self._means, spec, auth, principal, self.more))
        self._held[key] = (edition, made)
        return made

    def _made(self, source: Source) -> HeldToken:
        return HeldToken(source.get, source.kept, self._means.clock)


class Source:
    """Where the tokens of one credential come from."""

    def __init__(
        self,
        means: Means,
        spec: ServerSpec,
        auth: AuthSpec,
        principal: str,
        more: dict[tuple[str, str], tuple[str, ...]],
    ) -> None:
        self._more = more
        self._means = means
        self._spec = spec
        self._auth = auth
        self._principal = principal
        self._places = Places.of(means.outbound, spec)
        self._found: Found | None = None

    async def kept(self) -> Token | None:
        """Of a sign-in; what is got without anybody's help is not kept on disk."""
        if self._auth.kind != "authorization_code":
            return None
        token = await asyncio.to_thread(self._means.store.token, self._spec.name, self._principal)
        return token if token is not None and is_for(token, self._spec) else None

    async def get(self, before: Token | None, challenge: Challenge | None) -> Token:
        if self._auth.kind == "authorization_code":
            return await self._refreshed(before, challenge)
        header = challenge.header if challenge is not None else ""
        found = self._found = self._found or await discover(self._places, self._spec, header)
        scopes = tuple(dict.fromkeys((*found.scopes, *wanted(header).scopes)))
        endpoint = self._endpoint(found)
        for_whom = _for_whom(self._auth, found.resource, scopes)
        if self._auth.kind == "client_credentials" or not self._principal:
            return await endpoint.own(for_whom, self._now_s())
        return await endpoint.exchanged(self._subject(), for_whom, self._now_s())

    def _subject(self) -> str:
        token = self._means.callers.get(self._principal)
        if not token:
            message = f"server {self._spec.name} is called with a token made of the caller's, and there is none"
            raise Unsupported("auth.no_subject", message, "call with a token of an issuer, not with an API key")
        return token

    def _endpoint(self, found: Found) -> Endpoint:
        auth, issuer = self._auth, found.issuer
        if not issuer.token_endpoint:
            raise Invalid("auth.no_endpoint", f"{auth.issuer} names no token endpoint", "write token_url")
        client = configured_client(auth, issuer.token_endpoint_auth_methods_supported)
        return Endpoint(self._places, issuer.token_endpoint, issuer.issuer, client, self._spec.url)

    async def _refreshed(self, before: Token | None, challenge: Challenge | None) -> Token:
        """The next token of a sign-in. Whatever only a person can change raises `SignInNeeded`."""
        server, principal, store = self._spec.name, self._principal, self._means.store
        if before is None:
            raise self._needed("nobody has signed in")
        if challenge is not None and challenge.status == 403:
            scopes = tuple(dict.fromkeys((*before.scopes, *wanted(challenge.header).scopes)))
            raise self._needed(f"it asks for more than was agreed to ({' '.join(scopes)[:200]})", scopes)
        if not before.refresh:
            raise self._needed("the sign-in has ended")
        async with store.alone(server, principal):
            kept = await self.kept()
            if kept is None:
                raise self._needed("the sign-in was withdrawn")
            if kept != before and kept.is_good(self._now_s()):
                return kept
            token = await self._next(kept)
            await asyncio.to_thread(store.keep, server, principal, token)
            return token

    async def _next(self, kept: Token) -> Token:
        client = Client(kept.client_id, kept.client_secret, kept.client_auth)
        endpoint = Endpoint(self._places, kept.token_endpoint, kept.issuer, client, self._spec.url)
        try:
            return await endpoint.refreshed(kept, self._now_s())
        except Refusal as refusal:
            if refusal.reason not in FINAL:
                raise
            raise self._needed(f"the sign-in has ended ({refusal.reason})") from None

    def _needed(self, why: str, scopes: tuple[str, ...] = ()) -> SignInNeeded:
        is_administrator = self._principal == self._means.administrator
        if scopes:
            self._more[self._spec.name, self._principal] = scopes
        return SignInNeeded(self._spec.name, self._principal, why, is_administrator=is_administrator, scopes=scopes)

    def _now_s(self) -> float:
        return self._means.clock.wall_ns() / 1e9


def is_for(token: Token, spec: ServerSpec) -> bool:
    """Whether the token was given for this server as it is now, by the issuer that counts now."""
    auth = spec.auth
    assert auth is not None
    wrong_issuer = auth.issuer and token.issuer != auth.issuer
    wrong_client = auth.client_id and token.client_id != auth.client_id
    return token.server_url == spec.url and not wrong_issuer and not wrong_client


def configured_client(auth: AuthSpec, methods: tuple[str, ...]) -> Client:
    """Who we are, as the catalog says, and how the issuer wants to be told."""
    how = auth.client_auth
    if how is None:
        posts = "client_secret_post" in methods and "client_secret_basic" not in methods
        how = "post" if posts else "basic"
    return Client(auth.client_id, auth.client_secret, how if auth.client_secret else "none")


def _for_whom(auth: AuthSpec, resource: str, scopes: tuple[str, ...]) -> Mapping[str, str]:
    """Audience, resource and scopes of a request. Where the catalog says an audience, a resource only if it says so."""
    asked = {"audience": auth.audience} if auth.audience else {}
    if resource and (auth.resource or not auth.audience):
        asked["resource"] = resource
    return {**asked, **({"scope": " ".join(scopes)} if scopes else {})}


def fixed_headers(spec: ServerSpec) -> Mapping[str, str]:
    """The server's headers, that of its `auth` included, where this is one."""
    auth = spec.auth
    return {**spec.headers, auth.header: auth.value} if auth is not None and auth.kind == "header" else spec.headers
