"""Roles: what a principal may do. Pure: grants in, decisions out.

A principal may do what any grant of any of its roles allows, and nothing else. The role `admin` is built in and
allows everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal, NamedTuple

from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.identity.principals import Principal
from garrison.kernel.errors import Invalid

ADMIN_ROLE = "admin"
CACHED_MAX = 8192
CACHED_NAME_CHARS_MAX = 256

TargetKind = Literal["tool", "prompt", "resource", "server"]
_CacheKey = tuple[str, tuple[str, ...], TargetKind, str, str]


class Decision(NamedTuple):
    """`rule` is the one that decided, in words."""

    allowed: bool
    rule: str


@dataclass(frozen=True, slots=True)
class _Grant:
    """A grant's patterns, compiled. Patterns are case-sensitive; `*` matches everything, `/` included."""

    servers: re.Pattern[str]
    tools: re.Pattern[str] | None
    prompts: re.Pattern[str] | None
    resources: re.Pattern[str] | None

    def allows(self, kind: TargetKind, server: str, name: str) -> bool:
        if not self.servers.match(server):
            return False
        if kind == "server":  # a server is visible to whom anything on it is granted
            return any((self.tools, self.prompts, self.resources))
        pattern = {"tool": self.tools, "prompt": self.prompts, "resource": self.resources}[kind]
        return pattern is not None and pattern.match(name) is not None


class Authoriser:
    """Decides by the roles of the present snapshot. Safe for several threads."""

    def __init__(self, roles: Mapping[str, RoleSpec]) -> None:
        """Invalid if `admin` is among the roles, which cannot be redefined."""
        if ADMIN_ROLE in roles:
            raise Invalid(
                "role.reserved", "The role admin is built in and cannot be redefined.", "Choose another name."
            )
        self._roles = {name: tuple(_compiled(grant) for grant in role.grants) for name, role in roles.items()}
        self._cache: dict[_CacheKey, Decision] = {}
        self.edition = object()
        """Another one whenever the roles were replaced: what was decided before may not hold any more."""

    def replace(self, roles: Mapping[str, RoleSpec]) -> None:
        """Take over another snapshot's roles. Invalid as for the first ones, and then nothing changes."""
        other = Authoriser(roles)
        self._roles, self._cache, self.edition = other._roles, other._cache, other.edition

    def decide(self, principal: Principal, kind: TargetKind, server: str, name: str = "") -> Decision:
        """May this principal use this tool, prompt or resource of this server, or see the server at all?"""
        key = (principal.id, principal.roles, kind, server, name)
        found = self._cache.get(key)
        return found if found is not None else self._remember(key)

    def unknown_roles(self, principal: Principal) -> tuple[str, ...]:
        """Roles that the principal has and nobody defined; they grant nothing."""
        return tuple(role for role in principal.roles if role != ADMIN_ROLE and role not in self._roles)

    def _remember(self, key: _CacheKey) -> Decision:
        _, roles, kind, server, name = key
        decision = self._judge(roles, kind, server, name)
        if len(self._cache) >= CACHED_MAX:  # starting afresh is cheaper than keeping track of age
            self._cache.clear()
        if len(name) <= CACHED_NAME_CHARS_MAX:
            self._cache[key] = decision
        return decision

    def _judge(self, roles: tuple[str, ...], kind: TargetKind, server: str, name: str) -> Decision:
        if ADMIN_ROLE in roles:
            return Decision(True, f"role {ADMIN_ROLE}")
        for role in roles:
            for number, grant in enumerate(self._roles.get(role, ()), 1):
                if grant.allows(kind, server, name):
                    return Decision(True, f"role {role}, grant {number}")
        return Decision(False, "; ".join(self._silent(role) for role in roles) or "the principal has no role")

    def _silent(self, role: str) -> str:
        return f"no grant of role {role} matches" if role in self._roles else f"role {role} is not defined"


def _compiled(grant: GrantSpec) -> _Grant:
    servers = _any_of(grant.servers) or re.compile(r"(?!)")
    return _Grant(servers, _any_of(grant.tools), _any_of(grant.prompts), _any_of(grant.resources))


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    """One expression for all shell-style patterns; None for no pattern."""
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns)) if patterns else None
