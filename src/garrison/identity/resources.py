"""Our endpoints as protected resources of OAuth (RFC 8707, RFC 9728): identifiers, metadata, challenges. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from garrison.catalog.issuers import IssuerSpec

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_DESCRIPTION = "Garrison: a gateway for MCP servers"


class Resources:
    """`base`: the URL that clients know us by, without a path; empty while it is not known."""

    def __init__(self, base: str = "") -> None:
        self.base = ""
        self.everywhere: frozenset[str] = frozenset()
        """Audiences that stand for all of us."""
        self.issuers: Mapping[str, IssuerSpec] = {}
        self.rebase(base)

    def rebase(self, base: str) -> None:
        self.base = base.rstrip("/")
        self.everywhere = frozenset({self.base, f"{self.base}/"} if base else ())

    def of(self, endpoint: str) -> str:
        """The identifier of an endpoint as calls know it: empty for `/mcp`, a server, or `profiles/NAME`."""
        return self.base + path_of(endpoint)

    def are_meant(self, audiences: frozenset[str], endpoint: str) -> bool:
        """Whether one of them stands for all of us, or for this endpoint; while nobody knows our URL, none does."""
        return bool(self.base) and (not self.everywhere.isdisjoint(audiences) or self.of(endpoint) in audiences)

    def hint(self, endpoint: str) -> str:
        return f"ask for a token with resource={self.of(endpoint)}" if self.base else "ask for a token for this gateway"

    def metadata(self, path: str) -> dict[str, Any] | None:
        """The document of the resource at this path (RFC 9728, 2); None where tokens are not taken."""
        if not self.issuers or not self.base:
            return None
        found: dict[str, Any] = {
            "resource": self.base + path,
            "authorization_servers": [spec.issuer for spec in self.issuers.values()],
            "bearer_methods_supported": ["header"],
            "resource_name": _DESCRIPTION,
        }
        scopes = sorted({scope for spec in self.issuers.values() for scope in spec.roles_by_scope})
        return {**found, "scopes_supported": scopes} if scopes else found

    def challenge(self, path: str, error: str = "", scopes: Iterable[str] = ()) -> str:
        """The value of `WWW-Authenticate` (RFC 6750, 3; RFC 9728, 5.1)."""
        parts = ['realm="garrison"']
        if error:
            parts.append(f'error="{error}"')
        asked = list(scopes) or (self.asked() if error != "insufficient_scope" else [])
        if asked:
            parts.append(f'scope="{" ".join(asked)}"')
        if self.issuers and self.base:
            parts.append(f'resource_metadata="{self.base}{WELL_KNOWN}{path}"')
        return "Bearer " + ", ".join(parts)

    def asked(self) -> list[str]:
        """Scopes that clients should ask for at first."""
        wanted = (spec.ask_scopes or tuple(spec.roles_by_scope) for spec in self.issuers.values())
        return sorted({scope for scopes in wanted for scope in scopes})


def path_of(endpoint: str) -> str:
    """`/mcp`, `/servers/NAME/mcp` or `/profiles/NAME/mcp`."""
    if not endpoint:
        return "/mcp"
    return f"/{endpoint}/mcp" if endpoint.startswith("profiles/") else f"/servers/{endpoint}/mcp"
