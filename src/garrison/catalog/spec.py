"""Specs: the documents of the catalog, as immutable data.

Values may hold references (`${VAR}`, `${VAR:-default}`, `${secret:name}`); they are resolved only when an
instance starts, so that a spec can be printed, hashed and stored without a secret in it.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from garrison.catalog.access import Effect, WhenSpec
from garrison.catalog.credentials import AuthSpec

Transport = Literal["stdio", "http", "sse"]
Start = Literal["eager", "lazy"]
SessionMode = Literal["isolated", "shared"]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What is offered, by the server's own names: shell-style patterns; `deny` wins over `allow`."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()


class Offer(Filter, frozen=True, kw_only=True):
    """What is offered, and as what. Keys are the server's own names."""

    rename: dict[str, str] = {}
    describe: dict[str, str] = {}


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server: either a `command` to run (stdio) or a `url` to reach (http, sse)."""

    name: str
    transport: Transport
    command: tuple[str, ...] = ()
    url: str = ""
    urls: tuple[str, ...] = ()
    """Where further instances of the same server are reached; `url` is the first."""
    headers: dict[str, str] = {}
    auth: AuthSpec | None = None
    """What is shown to the server at `url`, beside `headers`."""
    allow_private: bool = False
    """Whether the names in `url` and `urls` may lead to addresses inside."""
    env: dict[str, str] = {}
    cwd: str = ""
    start: Start = "eager"
    enabled: bool = True
    timeout_s: float = 60.0
    """Deadline of one call."""
    startup_timeout_s: float = 120.0
    """Deadline from the start of the process to a finished handshake; a first `npx` or `uvx` downloads."""
    tools: Offer = Offer()
    prompts: Offer = Offer()
    resources: Filter = Filter()
    """By URI, and templates by their text."""
    prefix: str | None = None
    """What names begin with where several servers are shown as one; None: the server's name, empty: nothing."""
    retry_idempotent: bool = False
    """Whether tools that call themselves idempotent or read-only are called again after a broken connection."""
    instances: int = 1
    """How many processes run at once; of a server that is reached by addresses, each address is an instance."""
    session: SessionMode = "isolated"
    """Whether each client that speaks in the legacy era has a process to itself, or all share one."""
    sessions_max: int = 32
    """Processes of clients' own at once; what is beyond is refused."""
    session_idle_s: float = 600.0
    """Seconds without a call after which a client's own process ends."""
    warm: int = 0
    """Processes that are started and have shaken hands before a client needs one."""
    description: str = ""

    @property
    def revision(self) -> str:
        """The content's address: 16 hexadecimal digits of SHA-256."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    @property
    def count(self) -> int:
        """How many instances there should be."""
        return 1 + len(self.urls) if self.url else self.instances

    @property
    def is_personal(self) -> bool:
        """Whether the server is shown another credential for each principal."""
        return self.auth is not None and self.auth.is_personal


RUNTIME_FIELDS = ("transport", "command", "url", "urls", "headers", "auth", "allow_private", "env", "cwd")
"""What an instance is made of. The other fields are read anew with every call."""


class GrantSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Allows the tools, prompts and resource URIs that match, on the servers that match (shell-style patterns).

    Another `effect` forbids them, or lets them be used only when somebody has approved it. `approves`: tools of which
    others' calls may be approved.
    """

    servers: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    approves: tuple[str, ...] = ()
    effect: Effect = "allow"
    when: WhenSpec = WhenSpec()


class RoleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A named bundle of grants."""

    name: str
    grants: tuple[GrantSpec, ...] = ()
    description: str = ""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile shows of one server, of what the server offers at all."""

    tools: Filter = Filter()
    prompts: Filter = Filter()
    resources: Filter = Filter()


class ProfileSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A named selection of servers and what they offer, with an endpoint of its own."""

    name: str
    servers: dict[str, Selection] = {}
    description: str = ""
