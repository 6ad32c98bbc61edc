"""Whom a key or token makes of its bearer, and why."""

from __future__ import annotations

from typing import Any

from garrison.identity.principals import Principal
from garrison.kernel.clock import rfc3339
from garrison.surfaces.api.guarding import RESOURCE
from garrison.surfaces.wiring.fleet import Fleet

_NEVER = 2**62


def whoami(fleet: Fleet, principal: Principal, presented: str) -> dict[str, Any]:
    """What is known of somebody, for himself. Nothing of what he presented is in it."""
    known = fleet.authenticator.known(presented, RESOURCE)
    ends_ns = known[1] if known is not None else 0
    return {
        "principal": principal.id,
        "kind": principal.kind,
        "name": principal.name,
        "issuer": principal.issuer,
        "roles": list(principal.roles),
        "groups": list(principal.groups),
        "scopes": None if principal.scopes is None else list(principal.scopes),
        "until": rfc3339(ends_ns) if 0 < ends_ns < _NEVER else None,
        "why": [*fleet.authenticator.why(presented, RESOURCE), *_of_key(principal), *_unknown(fleet, principal)],
    }


def _of_key(principal: Principal) -> list[str]:
    if principal.kind != "key":
        return []
    roles = [f"role {role}: key {principal.name}" for role in principal.roles]
    bounds = [] if principal.scopes is None else [f"bounded to {', '.join(principal.scopes)}: key {principal.name}"]
    return [*roles, *bounds]


def _unknown(fleet: Fleet, principal: Principal) -> list[str]:
    if not principal.roles:
        return ["no role, so nothing is allowed"]
    unknown = fleet.authoriser.unknown_roles(principal)
    return [f"role {role} is not declared in the running configuration; it grants nothing" for role in unknown]
