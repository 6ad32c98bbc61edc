"""The shape of garrison.yaml as types: the reader checks by them, and the schema for editors is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from garrison.catalog.access import Effect, WhenSpec
from garrison.catalog.credentials import AuthSpec
from garrison.catalog.sections import Sections

Word = str | int | float | bool
"""Numbers and truth values are taken as they are written: `PORT: 8080` needs no quotes."""
Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
ShownName = Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,128}$")]
Prefix = Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{0,64}$")]


class FilterDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    allow: Annotated[
        tuple[str, ...], Meta(description="Only what matches one of these shell-style patterns is offered.")
    ] = ("*",)
    deny: Annotated[tuple[str, ...], Meta(description="What matches one of these is not offered; wins.")] = ()


class OfferDocument(FilterDocument, kw_only=True, forbid_unknown_fields=True):
    rename: Annotated[dict[str, ShownName], Meta(description="The server's own names and what they are shown as.")] = {}
    describe: Annotated[
        dict[str, str], Meta(description="The server's own names and the descriptions shown in place of its own.")
    ] = {}


class ServerDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    command: Annotated[
        tuple[Word, ...], Meta(min_length=1, description="The program and its arguments, one item for each word.")
    ] = ()
    url: Annotated[str, Meta(min_length=1, description="The address of a server that runs elsewhere.")] = ""
    urls: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            min_length=1,
            max_length=63,
            description="Further addresses of the same server; calls are spread over all of them.",
        ),
    ] = ()
    transport: Annotated[
        Literal["http", "sse"],
        Meta(description="How to talk to `url`: Streamable HTTP, or the older HTTP with server-sent events."),
    ] = "http"
    headers: Annotated[dict[str, Word], Meta(description="Sent with every request to `url`.")] = {}
    auth: Annotated[AuthSpec | None, Meta(description="What is shown to `url`, where that is no fixed header.")] = None
    allow_private: Annotated[
        bool, Meta(description="true: the name in `url` may lead to addresses inside: private, loopback, link-local.")
    ] = False
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
    tools: Annotated[OfferDocument, Meta(description="Which of the server's tools are offered, and as what.")] = (
        msgspec.field(default_factory=OfferDocument)
    )
    prompts: Annotated[OfferDocument, Meta(description="Which of the server's prompts are offered, and as what.")] = (
        msgspec.field(default_factory=OfferDocument)
    )
    resources: Annotated[FilterDocument, Meta(description="Which of its resources are offered, by URI.")] = (
        msgspec.field(default_factory=FilterDocument)
    )
    prefix: Annotated[
        Prefix | None,
        Meta(
            description="What names of tools and prompts begin with at /mcp and in profiles, before two underscores: "
            "the server's name unless given; an empty text for nothing."
        ),
    ] = None
    retry_idempotent: Annotated[
        bool,
        Meta(
            description="true: believe tools that call themselves idempotent or read-only, and call them again "
            "when the connection broke in mid-call."
        ),
    ] = False
    instances: Annotated[
        int, Meta(ge=1, le=64, description="How many processes of `command` run at once; calls are spread over them.")
    ] = 1
    session: Annotated[
        Literal["isolated", "shared"],
        Meta(
            description="isolated: each session of a client has a process of its own, as it would without a gateway. "
            "shared: all use one; only for servers that keep nothing between two calls."
        ),
    ] = "isolated"
    sessions_max: Annotated[
        int, Meta(ge=1, le=1000, description="How many clients may have a process of their own at once.")
    ] = 32
    session_idle_s: Annotated[
        Seconds, Meta(description="Seconds without a call after which a client's own process ends.")
    ] = 600.0
    warm: Annotated[
        int, Meta(ge=0, le=64, description="How many processes are kept ready for clients that are still to come.")
    ] = 0
    description: Annotated[str, Meta(description="What the server is for, in one line.")] = ""


class GrantDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    servers: Annotated[tuple[str, ...], Meta(description="Patterns of server names.")] = ("*",)
    tools: Annotated[tuple[str, ...], Meta(description="Patterns of tool names that may be called.")] = ()
    prompts: Annotated[tuple[str, ...], Meta(description="Patterns of prompt names that may be used.")] = ()
    resources: Annotated[tuple[str, ...], Meta(description="Patterns of resource URIs that may be read.")] = ()
    approves: Annotated[
        tuple[str, ...], Meta(description="Patterns of tools of which the role may approve others' calls.")
    ] = ()
    effect: Annotated[
        Effect,
        Meta(description="allow; deny, which wins; approve: allowed, once somebody else has approved the call."),
    ] = "allow"
    when: Annotated[WhenSpec, Meta(description="Conditions; all that is said has to hold.")] = WhenSpec()


class RoleDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    description: Annotated[str, Meta(description="Who has this role, in one line.")] = ""
    grants: Annotated[tuple[GrantDocument, ...], Meta(description="What the role allows; nothing else is.")] = ()


class SelectionDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    tools: Annotated[FilterDocument, Meta(description="Which of the tools that the server offers.")] = msgspec.field(
        default_factory=FilterDocument
    )
    prompts: Annotated[FilterDocument, Meta(description="Which of the prompts that the server offers.")] = (
        msgspec.field(default_factory=FilterDocument)
    )
    resources: Annotated[FilterDocument, Meta(description="Which of the resources that the server offers.")] = (
        msgspec.field(default_factory=FilterDocument)
    )


class ProfileDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    description: Annotated[str, Meta(description="Whom the profile is for, in one line; clients are told.")] = ""
    servers: Annotated[
        dict[Name, SelectionDocument], Meta(description="The servers that it shows, and what of each: all unless said.")
    ] = {}


class GarrisonDocument(Sections, frozen=True, kw_only=True, forbid_unknown_fields=True):
    servers: Annotated[dict[Name, ServerDocument], Meta(description="The fleet: MCP servers by name.")] = {}
    roles: Annotated[dict[Name, RoleDocument], Meta(description="Bundles of grants, for API keys.")] = {}
    profiles: Annotated[
        dict[Name, ProfileDocument],
        Meta(description="Named selections of servers and tools, each with its own endpoint /profiles/NAME/mcp."),
    ] = {}
    settings: Annotated[dict[str, Any], Meta(description="Settings of Garrison itself, by group.")] = {}
