"""Who gives tokens for a server: as the catalog says, or as the server's own metadata names them."""

from __future__ import annotations

from dataclasses import dataclass

from garrison.catalog.credentials import AuthSpec
from garrison.catalog.spec import ServerSpec
from garrison.identity.oauth.challenges import wanted
from garrison.identity.oauth.metadata import (
    IssuerMetadata,
    ResourceMetadata,
    first_known,
    issuer_places,
    read_issuer,
    read_resource,
    resource_places,
)
from garrison.identity.oauth.places import Places
from garrison.kernel.errors import GarrisonError, NotFound
from garrison.protocol.transports.origin import parse_url


@dataclass(frozen=True)
class Found:
    """An authorisation server, and what to ask it for."""

    issuer: IssuerMetadata
    resource: str
    scopes: tuple[str, ...]


async def discover(places: Places, spec: ServerSpec, challenge: str = "") -> Found:
    """`challenge`: the `WWW-Authenticate` that the server refused us with. Raises typed errors."""
    auth = spec.auth or AuthSpec(kind="authorization_code")
    said = wanted(challenge)
    resource = await _resource(places, spec, said.resource_metadata, is_needed=not (auth.issuer or auth.token_url))
    issuer = await _issuer(places, auth, resource, spec)
    named = resource.resource if resource is not None else spec.url.partition("#")[0]
    known = resource.scopes_supported if resource is not None else ()
    scopes = first_known(auth.scopes, said.scopes, known)
    return Found(issuer, auth.resource if auth.resource is not None else named, scopes)


async def _resource(places: Places, spec: ServerSpec, named: str, *, is_needed: bool) -> ResourceMetadata | None:
    """The server's own metadata. None where it has none, or none that is needed can be read."""
    try:
        content = await places.get(named) if named else await places.first(resource_places(spec.url))
        return read_resource(content, spec.url) if content is not None else None
    except GarrisonError:
        if is_needed:
            raise
        return None


async def _issuer(
    places: Places, auth: AuthSpec, resource: ResourceMetadata | None, spec: ServerSpec
) -> IssuerMetadata:
    if auth.token_url:
        methods = ("S256",) if auth.authorize_url else ()
        return IssuerMetadata(
            issuer=auth.issuer,
            token_endpoint=auth.token_url,
            authorization_endpoint=auth.authorize_url,
            code_challenge_methods_supported=methods,
        )
    named = auth.issuer or next(iter(resource.authorization_servers if resource is not None else ()), "")
    issuer = named or parse_url(spec.url).base  # before there was RFC 9728, a server was its own issuer
    content = await places.first(issuer_places(issuer))
    if content is None:
        message = f"nobody says where tokens for server {spec.name} come from"
        raise NotFound("auth.no_metadata", message, "write issuer, or token_url and authorize_url, under its auth")
    return read_issuer(content, issuer)
