"""Step-up: which scopes somebody lacks for what he was refused (RFC 6750, 3.1; MCP, "scope challenge"). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from garrison.catalog.issuers import IssuerSpec
from garrison.identity.principals import Principal


def scopes_to_ask(
    issuers: Iterable[IssuerSpec], principal: Principal, allowed: Callable[[Principal], bool]
) -> tuple[str, ...]:
    """The token's own scopes and the first further one that would do; none if none would.

    The own ones are named again because a new token has what it is asked for and nothing else.
    """
    held = principal.scopes or ()
    spec = next((one for one in issuers if one.issuer == principal.issuer), None)
    for scope, roles in spec.roles_by_scope.items() if spec is not None else ():
        if scope not in held:
            further = replace(principal, roles=(*principal.roles, *roles), scopes=(*held, scope))
            if allowed(further):
                return (*held, scope)
    return ()
