"""One running copy of a server, how it is reached, and what is observed of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from garrison.catalog.spec import ServerSpec


class State(StrEnum):
    """Supervisor's words (supervisord.org), plus `draining`, plus `auth-needed` for remote servers."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    EXITED = "exited"
    FATAL = "fatal"
    DRAINING = "draining"
    AUTH_NEEDED = "auth-needed"


class LineChannel(Protocol):
    """Takes what a server writes to its stdout; `protocol.transports.stdio.StdioTransport` is one."""

    def data_received(self, data: bytes) -> None: ...

    def connection_lost(self, reason: str) -> None: ...


class ChannelFactory(Protocol):
    def __call__(self, write: Callable[[bytes], None], *, on_noise: Callable[[bytes], None]) -> LineChannel:
        """A channel that sends with `write` and hands lines that are no JSON-RPC to `on_noise`."""
        ...


@dataclass(frozen=True)
class StdioEndpoint:
    """Reached through the pipes of a child process."""

    channel: LineChannel
    first_id: int = 0
    """Where the ids of requests begin, where others use the same pipes."""


@dataclass(frozen=True)
class HttpEndpoint:
    """Reached over the network: Streamable HTTP (`http`) or the older HTTP+SSE (`sse`)."""

    url: str
    kind: Literal["http", "sse"]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold credentials."""


Endpoint = StdioEndpoint | HttpEndpoint


@dataclass(frozen=True, eq=False)
class Instance:
    """One running copy. Two instances are never equal: identity is what counts."""

    id: str
    server: str
    spec: ServerSpec = field(repr=False)
    """With its references resolved: holds secrets."""
    endpoint: Endpoint
    pid: int = 0
    """0 where there is no process of ours."""


@dataclass(frozen=True)
class Observed:
    """What is known of one server now."""

    server: str
    spec: ServerSpec
    """As it stands in the catalog, references unresolved."""
    state: State = State.STOPPED
    era: str = ""
    version: str = ""
    """Protocol revision."""
    tools: int | None = None
    """None until somebody listed them."""
    pid: int = 0
    started_at: str = ""
    """RFC 3339, when the present instance was started."""
    startup_s: float = 0.0
    """From the start to the end of the handshake."""
    restarts: int = 0
    """Starts after the first one that nobody asked for."""
    error: str = ""
    """The last one, one sentence; empty while all is well."""
    hint: str = ""
    log_tail: tuple[str, ...] = ()
    """The last lines of its log, when it failed."""
    number: int = 1
    """Which of its instances, counted from 1; of a server with several, the one that is best off."""
    ready: int = 0
    """How many of its instances run; of one instance alone it says nothing."""
    each: tuple[Observed, ...] = ()
    """The instances one by one, where there are several."""
