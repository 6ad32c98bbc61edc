"""Asking a token endpoint: for our own token, for one in exchange, for a code, with a refresh token.

OAuth 2.1, RFC 8693 (token exchange), RFC 8707 (resource). A refusal's text is the issuer's: it is shown briefly, and
never more of it than its code.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import httpx2
import msgspec

from garrison.identity.oauth.challenges import scopes_of
from garrison.identity.oauth.places import Places
from garrison.identity.oauth.tokens import EARLY_S, EARLY_SHARE, LIFE_S, TOKEN_CHARS_MAX, Client, Token
from garrison.kernel.errors import Denied, Invalid, Unavailable
from garrison.protocol.fetching import BODY_BYTES_MAX
from garrison.protocol.wellformed import NotStrict, read_object

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  names a kind, holds no secret
_CODE = re.compile(r"[a-z_]{1,40}")
_VALUE = re.compile(rf"[\x21-\x7e]{{1,{TOKEN_CHARS_MAX}}}")
LIFE_S_MAX = 30 * 86400.0
FINAL = frozenset({"invalid_grant", "invalid_target", "invalid_scope", "unauthorized_client", "invalid_client"})
"""Refusals that asking again does not change."""


class Refusal(Denied):
    """The token endpoint said no; `reason` is its error code."""

    def __init__(self, endpoint: str, reason: str) -> None:
        message = f"{endpoint} gives no token: {reason}"
        super().__init__("auth.refused", message, "check client, scopes and resource of the server's auth")
        self.reason = reason


class Endpoint:
    """One token endpoint, asked as one client. `now_s`: Unix time when an answer comes."""

    def __init__(self, places: Places, url: str, issuer: str, client: Client, server_url: str) -> None:
        self._places = places
        self._url = url
        self._issuer = issuer
        self._client = client
        self._server_url = server_url

    async def own(self, for_whom: Mapping[str, str], now_s: float) -> Token:
        """Garrison's own token (client credentials)."""
        return await self._ask({"grant_type": "client_credentials", **for_whom}, now_s)

    async def exchanged(self, subject_token: str, for_whom: Mapping[str, str], now_s: float) -> Token:
        """A token for whom `subject_token` speaks of, made for the server alone."""
        asked = {"grant_type": EXCHANGE, "subject_token": subject_token, "subject_token_type": ACCESS_TOKEN}
        found = await self._ask({**asked, "requested_token_type": ACCESS_TOKEN, **for_whom}, now_s)
        if found.access == subject_token:
            message = f"{self._url} gave the caller's own token back"
            raise Denied("auth.passed_through", message, "let it issue tokens for the server's audience")
        return found

    async def for_code(self, code: str, verifier: str, redirect_uri: str, resource: str, now_s: float) -> Token:
        asked = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        return await self._ask({**asked, "redirect_uri": redirect_uri, **_resource(resource)}, now_s)

    async def refreshed(self, token: Token, now_s: float) -> Token:
        """The next one; the refresh token stays the same where the answer brings no other."""
        asked = {"grant_type": "refresh_token", "refresh_token": token.refresh, **_resource(token.resource)}
        found = await self._ask(asked, now_s)
        kept = found.refresh or token.refresh
        return msgspec.structs.replace(found, refresh=kept, scopes=found.scopes or token.scopes)

    async def _ask(self, form: Mapping[str, str], now_s: float) -> Token:
        headers, form = _identified(self._client, form)
        response = await self._places.post_form(self._url, form, headers)
        found = _answered(response)
        if response.status_code != 200:
            reason = found.get("error")
            known = isinstance(reason, str) and _CODE.fullmatch(reason)
            if response.status_code >= 500 or response.status_code == 429:
                message = f"{self._url} answered HTTP {response.status_code}"
                raise Unavailable("auth.endpoint_failed", message, "try again later")
            raise Refusal(self._url, str(reason) if known else f"HTTP {response.status_code}")
        return self._token(found, now_s, form.get("resource", ""))

    def _token(self, found: Mapping[str, Any], now_s: float, resource: str) -> Token:
        access, refresh, life_s = found.get("access_token"), found.get("refresh_token"), found.get("expires_in")
        kind = found.get("token_type", "Bearer")
        if not isinstance(access, str) or not _VALUE.fullmatch(access) or str(kind).lower() not in ("bearer", "n_a"):
            raise Invalid("auth.bad_token", f"{self._url} answered without a bearer token", "see its documentation")
        is_number = isinstance(life_s, (int, float)) and not isinstance(life_s, bool)
        lives_s = min(max(float(life_s), 0.0), LIFE_S_MAX) if is_number and life_s is not None else LIFE_S
        client = self._client
        return Token(
            access=access,
            ends_s=now_s + lives_s,
            early_s=min(EARLY_S, lives_s * EARLY_SHARE),
            refresh=refresh if isinstance(refresh, str) and _VALUE.fullmatch(refresh) else "",
            scopes=scopes_of(found["scope"]) if isinstance(found.get("scope"), str) else (),
            issuer=self._issuer,
            token_endpoint=self._url,
            client_id=client.id,
            client_secret=client.secret,
            client_auth=client.auth,
            resource=resource,
            server_url=self._server_url,
        )


def _resource(resource: str) -> dict[str, str]:
    return {"resource": resource} if resource else {}


def _identified(client: Client, form: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and form with who asks (RFC 6749, 2.3.1)."""
    if client.auth == "basic" and client.secret:
        pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
        return {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}, dict(form)
    secret = {"client_secret": client.secret} if client.secret else {}
    return {}, {**form, "client_id": client.id, **secret}


def _answered(response: httpx2.Response) -> dict[str, Any]:
    try:
        return read_object(response.content, BODY_BYTES_MAX)
    except NotStrict:
        return {}
