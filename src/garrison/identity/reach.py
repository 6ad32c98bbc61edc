"""How far an API key reaches: patterns `SERVER` or `SERVER/TOOL` that bound what its roles allow. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

from garrison.identity.principals import Principal
from garrison.kernel.errors import Invalid

SCOPES_MAX = 64
SCOPE_CHARS_MAX = 256


def check_scopes(scopes: Iterable[str]) -> None:
    """Raises `Invalid` for what is no bound."""
    found = tuple(scopes)
    for scope in found:
        server, slash, tool = scope.partition("/")
        if not server or (slash and not tool) or len(scope) > SCOPE_CHARS_MAX or not scope.isprintable():
            hint = "write SERVER or SERVER/TOOL, both may be patterns: git, git/git_*"
            raise Invalid("key.scope", f"{scope[:SCOPE_CHARS_MAX]!r} is no bound for a key", hint)
    if len(found) > SCOPES_MAX:
        raise Invalid("key.scope", f"a key has at most {SCOPES_MAX} bounds", "use patterns, or a role")


def is_bounded(principal: Principal) -> bool:
    """Whether a key has bounds of its own. The scopes of a token are words of its issuer, and give roles instead."""
    return principal.kind == "key" and principal.scopes is not None


def reaches(principal: Principal, kind: str, server: str, name: str) -> bool:
    """Whether the key's bounds leave it this; roles decide in addition."""
    if principal.kind != "key" or principal.scopes is None:
        return True
    return _within(principal.scopes, kind, server, name)


@lru_cache(maxsize=8192)
def _within(scopes: tuple[str, ...], kind: str, server: str, name: str) -> bool:
    """A bound with a tool is for tools alone, and for seeing that the server is there."""
    for scope in scopes:
        wanted, slash, tool = scope.partition("/")
        if fnmatchcase(server, wanted) and (
            not slash or kind == "server" or (kind == "tool" and fnmatchcase(name, tool))
        ):
            return True
    return False
