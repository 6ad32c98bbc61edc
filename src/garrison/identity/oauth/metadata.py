"""What servers and authorisation servers say of themselves: where it stands, and what of it may be believed. Pure.

RFC 9728 for a protected resource, RFC 8414 and OpenID Connect Discovery for an authorisation server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from garrison.kernel.errors import Denied, Invalid, Unsupported
from garrison.protocol.addresses import is_inside_name, kind_of, literal
from garrison.protocol.fetching import BODY_BYTES_MAX
from garrison.protocol.transports.origin import Origin, parse_found_url
from garrison.protocol.wellformed import NotStrict, read_object

_M = TypeVar("_M", bound=msgspec.Struct)


class ResourceMetadata(msgspec.Struct, frozen=True):
    """RFC 9728, as much of it as matters here."""

    resource: str
    authorization_servers: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] = ()


class IssuerMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 8414, as much of it as matters here."""

    issuer: str
    token_endpoint: str = ""
    authorization_endpoint: str = ""
    registration_endpoint: str = ""
    code_challenge_methods_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    scopes_supported: tuple[str, ...] = ()
    authorization_response_iss_parameter_supported: bool = False
    client_id_metadata_document_supported: bool = False


def resource_places(server_url: str) -> list[str]:
    """Where a server's own metadata may stand, the likeliest place first."""
    origin = parse_found_url(server_url.partition("#")[0])
    path = origin.target.partition("?")[0].rstrip("/")
    root = f"{origin.base}/.well-known/oauth-protected-resource"
    return [*([root + path] if path else []), root]


def issuer_places(issuer: str) -> list[str]:
    """Where an authorisation server's metadata may stand."""
    origin = parse_found_url(issuer)
    path = origin.target.rstrip("/")
    places = [f"{origin.base}/.well-known/oauth-authorization-server{path}"]
    places.append(f"{origin.base}/.well-known/openid-configuration{path}")
    return [*places, *([f"{origin.base}{path}/.well-known/openid-configuration"] if path else [])]


def read_resource(content: bytes, server_url: str) -> ResourceMetadata:
    """Raises `Invalid` when it cannot be read, or is another server's."""
    found = _read(content, ResourceMetadata, "protected resource")
    if not _covers(found.resource, server_url):
        message = "the server's metadata is about another resource: a token for it would not be this server's"
        raise Invalid("auth.foreign_resource", message, "check the server's url")
    return found


def _covers(resource: str, url: str) -> bool:
    """Whether the resource is the server's URL, or one above it on the same origin."""
    try:
        named, asked = parse_found_url(resource), parse_found_url(url.partition("#")[0])
    except Invalid:
        return False
    above = named.target.partition("?")[0].rstrip("/")
    path = asked.target.partition("?")[0].rstrip("/")
    return named.base == asked.base and (path == above or path.startswith(f"{above}/"))


def read_issuer(content: bytes, issuer: str) -> IssuerMetadata:
    """Raises `Invalid` when it cannot be read, or names another issuer than the one that it was asked for."""
    found = _read(content, IssuerMetadata, "authorisation server")
    if found.issuer != issuer:
        message = f"the metadata of {_shown(issuer)} names another issuer, {_shown(found.issuer)}"
        raise Denied("auth.issuer_mismatch", message, "write the issuer exactly as it names itself")
    return found


def check_for_codes(found: IssuerMetadata) -> None:
    """Whether principals can sign in there. Raises `Unsupported`."""
    if not found.authorization_endpoint or not found.token_endpoint:
        message = f"{_shown(found.issuer)} offers no sign-in: it names no authorisation and token endpoint"
        raise Unsupported("auth.no_sign_in", message, "write authorize_url and token_url, or another kind of auth")
    if "S256" not in found.code_challenge_methods_supported:
        message = f"{_shown(found.issuer)} does not say that it supports PKCE with S256"
        raise Unsupported("auth.no_pkce", message, "without PKCE a stolen code could be used; see its documentation")


def check_scheme(url: str, trusted: frozenset[str]) -> Origin:
    """Where the URL leads, if a credential may be sent there: over TLS, or to this machine, or as the catalog says.

    `trusted`: origins that stand in the catalog. Raises `Invalid` or `Denied`.
    """
    origin = parse_found_url(url)
    if origin.tls or origin.base in trusted or _is_this_machine(origin.host):
        return origin
    message = f"{origin.base} is no place for credentials: it has no TLS"
    raise Denied("auth.no_tls", message, "only what stands in the catalog may go without")


def _is_this_machine(host: str) -> bool:
    address = literal(host)
    if address is not None:
        return kind_of(address) == "loopback"
    return host == "localhost" or (host.endswith(".localhost") and is_inside_name(host))


def _read(content: bytes, wanted: type[_M], what: str) -> _M:
    try:
        found = read_object(content, BODY_BYTES_MAX)
        fields = {name: found[name] for name in wanted.__struct_fields__ if found.get(name) is not None}
        return msgspec.convert(fields, type=wanted)
    except (NotStrict, msgspec.ValidationError):
        raise Invalid(
            "auth.bad_metadata", f"the metadata of the {what} cannot be read", "see its documentation"
        ) from None


def _shown(issuer: str) -> str:
    """An issuer as it may stand in a message: its origin alone."""
    try:
        return parse_found_url(issuer).base
    except Invalid:
        return "(no URL)"


def first_known(scopes: Sequence[str], *others: Sequence[str]) -> tuple[str, ...]:
    """The first of these that says anything."""
    return tuple(next((each for each in (scopes, *others) if each), ()))
