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
    known, standing = fleet.authenticator.known(presented, RESOURCE), fleet.authoriser.standing(principal)
    ends_ns = known[1] if known is not None else 0
    return {
        "principal": principal.id,
        "kind": principal.kind,
        "name": principal.name,
        "issuer": principal.issuer,
        "roles": list(standing.roles),
        "groups": list(dict.fromkeys((*standing.groups, *principal.groups))),
        "scopes": None if principal.scopes is None else list(principal.scopes),
        "until": rfc3339(ends_ns) if 0 < ends_ns < _NEVER else None,
        "why": [
            *fleet.authenticator.why(presented, RESOURCE),
            *_by_itself(principal),
            *_by_groups(fleet, principal),
            *_unknown(fleet, principal),
        ],
    }


def _by_itself(principal: Principal) -> list[str]:
    """What a key or certificate gives; a token's roles have their own reasons."""
    if principal.kind == "token":
        return []
    roles = [f"role {role}: {principal.kind} {principal.name}" for role in principal.roles]
    if principal.kind != "key":
        return roles
    bounds = [] if principal.scopes is None else [f"bounded to {', '.join(principal.scopes)}: key {principal.name}"]
    return [*roles, *bounds]


def _by_groups(fleet: Fleet, principal: Principal) -> list[str]:
    standing = fleet.authoriser.standing(principal)
    further = [role for role in standing.roles if role not in principal.roles]
    return [f"role {role}: of the groups {', '.join(standing.groups)}" for role in further]


def _unknown(fleet: Fleet, principal: Principal) -> list[str]:
    if not fleet.authoriser.standing(principal).roles:
        return ["no role, so nothing is allowed"]
    unknown = fleet.authoriser.unknown_roles(principal)
    return [f"role {role} is not declared in the running configuration; it grants nothing" for role in unknown]
