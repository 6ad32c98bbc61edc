"""Who belongs to which group, and which roles that gives. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from garrison.catalog.access import GroupSpec
from garrison.identity.principals import Principal


class Standing(NamedTuple):
    """The roles of a principal, its own and those of its groups, and the groups; in order, each once."""

    roles: tuple[str, ...]
    groups: tuple[str, ...]


def standing_of(principal: Principal, groups: Mapping[str, GroupSpec], issuers: Mapping[str, str]) -> Standing:
    """`issuers`: identifiers by the names that garrison.yaml gives them."""
    mine = tuple(name for name, group in groups.items() if _is_member(principal, group, issuers))
    given = (role for name in mine for role in groups[name].roles)
    return Standing(tuple(dict.fromkeys((*principal.roles, *given))), mine)


def _is_member(principal: Principal, group: GroupSpec, issuers: Mapping[str, str]) -> bool:
    if any(fnmatchcase(principal.id, one) or _is_named(principal, one) for one in group.members):
        return True
    if not set(group.claims) & set(principal.groups):
        return False
    return not group.issuer or principal.issuer in (group.issuer, issuers.get(group.issuer))


def _is_named(principal: Principal, pattern: str) -> bool:
    """Only names that we gave: what a token calls its bearer is the bearer's own choice with many issuers."""
    return principal.kind in ("key", "local") and fnmatchcase(principal.name, pattern)
