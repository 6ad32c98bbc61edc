"""Specs: the documents of the catalog, as immutable data.

Values may hold references (`${VAR}`, `${VAR:-default}`, `${secret:name}`); they are resolved only when an
instance starts, so that a spec can be printed, hashed and stored without a secret in it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Transport = Literal["stdio", "http", "sse"]
Start = Literal["eager", "lazy"]


class ToolFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tools of a server are offered: shell-style patterns; `deny` wins over `allow`."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server: either a `command` to run (stdio) or a `url` to reach (http, sse)."""

    name: str
    transport: Transport
    command: tuple[str, ...] = ()
    url: str = ""
    headers: dict[str, str] = {}
    env: dict[str, str] = {}
    cwd: str = ""
    start: Start = "eager"
    enabled: bool = True
    timeout_s: float = 60.0
    """Deadline of one call."""
    startup_timeout_s: float = 120.0
    """Deadline from the start of the process to a finished handshake; a first `npx` or `uvx` downloads."""
    tools: ToolFilter = ToolFilter()
    retry_idempotent: bool = False
    """Whether tools that call themselves idempotent or read-only are called again after a broken connection."""
    description: str = ""


class GrantSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Allows the tools, prompts and resource URIs that match, on the servers that match (shell-style patterns)."""

    servers: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()


class RoleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A named bundle of grants."""

    name: str
    grants: tuple[GrantSpec, ...] = ()
    description: str = ""
