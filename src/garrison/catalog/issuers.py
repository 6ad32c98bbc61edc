"""Issuers: whose tokens are taken, and what they make of their bearers; the section `issuers` of garrison.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from garrison.catalog.notes import Notes, Place
from garrison.catalog.parse.tree import Table

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""All of them are asymmetric: who can check a token cannot make one."""
TokenType = Literal["at+jwt", "jwt", "none"]

Text = Annotated[str, Meta(min_length=1, max_length=512)]
Role = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
Scope = Annotated[str, Meta(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,128}$")]
ClaimName = Annotated[str, Meta(min_length=1, max_length=256)]

_LOOPBACK: Final = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1")


class ClaimsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which claim says what. A name with dots that is no claim itself leads inside: `realm_access.roles`."""

    name: Annotated[ClaimName, Meta(description="For people to read; without it, the subject is shown.")] = "name"
    groups: Annotated[ClaimName, Meta(description="The bearer's groups: a list of texts, or one text.")] = "groups"
    roles: Annotated[
        str,
        Meta(
            max_length=256,
            description="Roles of garrison.yaml; none unless a claim is named. `admin` is never taken from it.",
        ),
    ] = ""
    scopes: Annotated[
        ClaimName, Meta(description="What the token was issued for: words in one text, or a list (`scp`).")
    ] = "scope"


class IssuerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An authorisation server whose tokens (RFC 9068, OpenID Connect) are taken."""

    issuer: Annotated[
        str, Meta(pattern=r"^https?://[^\s?#]+$", description="Its identifier: the `iss` of its tokens, to the letter.")
    ]
    audiences: Annotated[
        tuple[Text, ...],
        Meta(
            min_length=1,
            max_length=64,
            description="A token must be meant for one of these (`aud`), or for edge.public_url or the endpoint asked.",
        ),
    ]
    algorithms: Annotated[
        tuple[Algorithm, ...],
        Meta(min_length=1, description="What its tokens may be signed with. Nothing else is looked at."),
    ] = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
    jwks: Annotated[
        str,
        Meta(pattern=r"^(https?://[^\s#]+)?$", description="Where its keys are; without it, its own metadata says so."),
    ] = ""
    discovery: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s#]+)?$",
            description="Where its metadata is, if neither OpenID Connect's nor RFC 8414's place.",
        ),
    ] = ""
    claims: Annotated[ClaimsSpec, Meta(description="Which claim says what.")] = ClaimsSpec()
    require: Annotated[
        dict[ClaimName, str | bool | int],
        Meta(description="Claims that must be there with just this value, or hold it if they are lists."),
    ] = {}
    clients: Annotated[
        tuple[Text, ...],
        Meta(description="Clients whose tokens are taken (`azp` or `client_id`); none given: all of this issuer."),
    ] = ()
    types: Annotated[
        tuple[TokenType, ...],
        Meta(min_length=1, description="What the header's `typ` may be; `none`: it may be missing."),
    ] = ("at+jwt", "jwt", "none")
    roles: Annotated[tuple[Role, ...], Meta(description="Roles that every bearer of its tokens has.")] = ()
    roles_by_scope: Annotated[
        dict[Scope, tuple[Role, ...]],
        Meta(description="Roles that a scope gives. Who lacks one is told which scope to ask for."),
    ] = {}
    ask_scopes: Annotated[
        tuple[Scope, ...],
        Meta(description="Scopes that clients are told to ask for at first; unless given, all of roles_by_scope."),
    ] = ()
    leeway_s: Annotated[int, Meta(ge=0, le=300, description="Seconds by which clocks may differ.")] = 60


Issuers = Annotated[
    dict[Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")], IssuerSpec],
    Meta(description="Authorisation servers whose tokens are taken, by a name of your own."),
]


def is_safe_url(url: str) -> bool:
    """Whether what is read there cannot be changed on the way: https, or http to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if parts.username is not None or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _LOOPBACK.fullmatch(host) is not None)


def check_issuers(root: Table, issuers: dict[str, IssuerSpec], notes: Notes) -> None:
    """What types cannot say: plain http, two of one identifier, roles that nobody declares."""
    seen: dict[str, str] = {}
    section, declared = root.get("issuers"), root.get("roles")
    roles = declared.keys if isinstance(declared, Table) else frozenset()
    for name, spec in issuers.items():
        node = section.get(name) if isinstance(section, Table) else None
        place = node.place if node is not None else Place()
        for url in (spec.issuer, spec.jwks, spec.discovery):
            if url and not is_safe_url(url):
                message = f"issuer {name}: {url[:200]} can be read and changed on the way"
                notes.error("issuer.plain", message, "use https; http is for this machine alone", place)
        if (other := seen.setdefault(spec.issuer, name)) != name:
            message = f"issuers {other} and {name} are the same: {spec.issuer[:200]}"
            notes.error("issuer.twice", message, "write one, with the audiences of both", place)
        for role in sorted(_named(spec) - roles - {"admin"}):
            message = f"issuer {name} gives the role {role}, which is not declared"
            notes.warn("issuer.no_such_role", message, "declare it below roles; until then it grants nothing", place)


def _named(spec: IssuerSpec) -> set[str]:
    return {*spec.roles, *(role for roles in spec.roles_by_scope.values() for role in roles)}
