"""What the endpoints of several servers show, as people and scripts see it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from garrison.catalog.spec import ProfileSpec
from garrison.gateway.endpoints import Endpoint
from garrison.gateway.heads import profile_endpoint
from garrison.protocol import methods


def profile_rows(profiles: Mapping[str, ProfileSpec], endpoints: Mapping[str, Endpoint]) -> list[dict[str, Any]]:
    """One row for each profile: `servers` are those that it shows now, `tools` how many it lists before any grant."""
    found = ((profile, endpoints.get(profile_endpoint(profile.name))) for profile in profiles.values())
    return [_row(profile, endpoint) for profile, endpoint in found if endpoint is not None]


def _row(profile: ProfileSpec, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": profile.name,
        "path": path_of(profile_endpoint(profile.name)),
        "description": profile.description,
        "servers": list(endpoint.upstreams),
        "tools": len(endpoint.index(methods.TOOLS_LIST).refs),
    }


def conflict_rows(endpoints: Mapping[str, Endpoint]) -> list[dict[str, str]]:
    """What is not shown as the configuration asks for; `shown` is empty for what is held back."""
    return [
        {
            "path": path_of(name),
            "kind": one.kind,
            "server": one.ref.server,
            "name": one.ref.name,
            "wanted": one.wanted,
            "shown": one.shown,
            "why": one.text,
        }
        for name, endpoint in endpoints.items()
        for one in endpoint.conflicts()
    ]


def path_of(endpoint: str) -> str:
    return f"/{endpoint}/mcp" if endpoint else "/mcp"
