"""Who Garrison is at an authorisation server: as the catalog says, by a document of our own, or registered there.

RFC 7591 for registration; a client-id metadata document is a page of ours, whose URL is the client's id.
"""

from __future__ import annotations

import asyncio
from typing import Any

from garrison.catalog.credentials import AuthSpec
from garrison.identity.oauth.credentials import configured_client
from garrison.identity.oauth.metadata import IssuerMetadata
from garrison.identity.oauth.places import Places
from garrison.identity.oauth.tokens import Client, TokenStore
from garrison.kernel.errors import Denied, Unsupported
from garrison.protocol.fetching import BODY_BYTES_MAX
from garrison.protocol.wellformed import NotStrict, read_object

CALLBACK = "/oauth/callback"
DOCUMENT = "/oauth/client.json"
_METHODS = {"client_secret_basic": "basic", "client_secret_post": "post", "none": "none"}


def client_document(base: str) -> dict[str, Any]:
    """What we say of ourselves as a client; `base`: the URL that browsers reach us by."""
    return {
        "client_name": "Garrison",
        "redirect_uris": [base + CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


async def client_for(places: Places, store: TokenStore, auth: AuthSpec, issuer: IssuerMetadata, base: str) -> Client:
    """Raises typed errors: `auth.no_client` where there is no way to become one."""
    if auth.client_id:
        return configured_client(auth, issuer.token_endpoint_auth_methods_supported)
    if issuer.client_id_metadata_document_supported and base.startswith("https://"):
        return Client(base + DOCUMENT)
    known = await asyncio.to_thread(store.client, issuer.issuer, base + CALLBACK)
    if known is not None:
        return known
    client = await _registered(places, issuer, base)
    await asyncio.to_thread(store.keep_client, issuer.issuer, base + CALLBACK, client)
    return client


async def _registered(places: Places, issuer: IssuerMetadata, base: str) -> Client:
    if not issuer.registration_endpoint:
        message = f"{issuer.issuer} lets no client register itself"
        raise Unsupported(
            "auth.no_client", message, "register Garrison there, and write client_id under the server's auth"
        )
    response = await places.post_json(issuer.registration_endpoint, client_document(base))
    try:
        found = read_object(response.content, BODY_BYTES_MAX)
    except NotStrict:
        found = {}
    client_id, secret = found.get("client_id"), found.get("client_secret")
    if response.status_code not in (200, 201) or not isinstance(client_id, str) or not client_id:
        message = f"{issuer.issuer} does not register us (HTTP {response.status_code})"
        raise Denied("auth.no_client", message, "register Garrison there, and write client_id under the server's auth")
    how = _METHODS.get(str(found.get("token_endpoint_auth_method", "none")), "basic")
    secret = secret if isinstance(secret, str) and how != "none" else ""
    return Client(client_id, secret, how if secret else "none")
