"""The shape of garrison.yaml as types: the reader checks by them, and the schema for editors is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Word = str | int | float | bool
"""Numbers and truth values are taken as they are written: `PORT: 8080` needs no quotes."""
Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
Seconds = Annotated[float, Meta(gt=0, le=86400)]


class ToolsDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    allow: Annotated[
        tuple[str, ...], Meta(description="Only tools that match one of these shell-style patterns are offered.")
    ] = ("*",)
    deny: Annotated[tuple[str, ...], Meta(description="Tools that match one of these are not offered; wins.")] = ()


class ServerDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    command: Annotated[
        tuple[Word, ...], Meta(min_length=1, description="The program and its arguments, one item for each word.")
    ] = ()
    url: Annotated[str, Meta(min_length=1, description="The address of a server that runs elsewhere.")] = ""
    transport: Annotated[
        Literal["http", "sse"],
        Meta(description="How to talk to `url`: Streamable HTTP, or the older HTTP with server-sent events."),
    ] = "http"
    headers: Annotated[dict[str, Word], Meta(description="Sent with every request to `url`.")] = {}
    env: Annotated[dict[str, Word], Meta(description="Variables for the program.")] = {}
    cwd: Annotated[
        str, Meta(description="Where the program starts; relative to this file's folder, which is the default.")
    ] = ""
    start: Annotated[
        Literal["eager", "lazy"], Meta(description="With the fleet, or when the first call needs the server.")
    ] = "eager"
    enabled: Annotated[bool, Meta(description="false: known, but neither started nor offered.")] = True
    timeout_s: Annotated[Seconds, Meta(description="Seconds that one call may take.")] = 60.0
    startup_timeout_s: Annotated[
        Seconds, Meta(description="Seconds from the start to a finished handshake; a first npx or uvx downloads.")
    ] = 120.0
    tools: Annotated[ToolsDocument, Meta(description="Which of the server's tools are offered.")] = msgspec.field(
        default_factory=ToolsDocument
    )
    retry_idempotent: Annotated[
        bool,
        Meta(
            description="true: believe tools that call themselves idempotent or read-only, and call them again "
            "when the connection broke in mid-call."
        ),
    ] = False
    description: Annotated[str, Meta(description="What the server is for, in one line.")] = ""


class GrantDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    servers: Annotated[tuple[str, ...], Meta(description="Patterns of server names.")] = ("*",)
    tools: Annotated[tuple[str, ...], Meta(description="Patterns of tool names that may be called.")] = ()
    prompts: Annotated[tuple[str, ...], Meta(description="Patterns of prompt names that may be used.")] = ()
    resources: Annotated[tuple[str, ...], Meta(description="Patterns of resource URIs that may be read.")] = ()


class RoleDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    description: Annotated[str, Meta(description="Who has this role, in one line.")] = ""
    grants: Annotated[tuple[GrantDocument, ...], Meta(description="What the role allows; nothing else is.")] = ()


class GarrisonDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    servers: Annotated[dict[Name, ServerDocument], Meta(description="The fleet: MCP servers by name.")] = {}
    roles: Annotated[dict[Name, RoleDocument], Meta(description="Bundles of grants, for API keys.")] = {}
    settings: Annotated[dict[str, Any], Meta(description="Settings of Garrison itself, by group.")] = {}
