"""The data that walks through the pipeline: a request as the edge read it, the call made of it, its outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec
from msgspec import Raw

from garrison.gateway.heads import Head
from garrison.kernel.errors import GarrisonError
from garrison.protocol.messages import Message, Params, RpcError
from garrison.protocol.versions import LATEST_LEGACY, Era

if TYPE_CHECKING:
    from garrison.gateway.breakers import Permit
    from garrison.gateway.metering import Concern
    from garrison.gateway.sessions import Session
    from garrison.gateway.upstreams.definition import Definition
    from garrison.gateway.upstreams.own import Owner
    from garrison.gateway.upstreams.upstream import Upstream
    from garrison.identity.principals import Principal
    from garrison.policy.decision import Decision
    from garrison.policy.screening.finding import Screened
    from garrison.policy.screening.screener import Screener
    from garrison.protocol.connection import Connection

TargetKind = Literal["tool", "prompt", "resource", "server"]


@dataclass(slots=True)
class HttpRequest:
    """One HTTP request to an MCP endpoint. `client` is the address that it came from."""

    head: Head
    body: bytes | bytearray
    client: str = ""
    certificate: Principal | None = None
    """Whom the connection's client certificate names; counts where no key or token is presented."""


class Sink(Protocol):
    """Where the answer goes. Either `respond` once, or `open_stream`, events, `end_stream`."""

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None: ...

    def open_stream(self, headers: Mapping[str, str]) -> None: ...

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        """One JSON-RPC message on the open stream; `kind` is another word in the older transport."""

    def end_stream(self) -> None: ...

    def keep_alive_comment(self) -> None:
        """A comment on the open stream, so that nothing between here and there closes it as idle."""

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call back when the client goes away before the answer is complete."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """What a call is about: the server, and the tool, prompt or resource by its own name there."""

    kind: TargetKind = "server"
    server: str = ""
    name: str = ""


class Outcome(msgspec.Struct):
    """How a call ended: one of `result` (raw JSON), `error` (the server's own) or `failure` (ours)."""

    result: bytes | Raw | None = None
    error: RpcError | None = None
    failure: GarrisonError | None = None
    tool_error: bool = False
    """The result is a tool's own error (`isError`)."""

    @property
    def word(self) -> str:
        """For records: `ok`, `tool_error`, the server's error code, or the dotted code of our failure."""
        if self.failure is not None:
            return self.failure.code
        if self.error is not None:
            return str(self.error.code)
        return "tool_error" if self.tool_error else "ok"


class Pending:
    """Stands for an outcome that comes later, through `call.finish`."""


PENDING: Final = Pending()


_NOTHING: Final = Target()


def _unbound(outcome: Outcome) -> None:
    raise AssertionError("the pipeline binds `finish` before the first stage runs")


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """One message on its way through the pipeline; stages fill in what they find out."""

    id: str
    request: HttpRequest
    sink: Sink
    started_ns: int
    """Monotonic nanoseconds."""
    endpoint: str = ""
    """Name of the server for its transparent endpoint, `profiles/NAME` for a profile's; empty for the aggregate."""
    era: Era = "legacy"
    version: str = LATEST_LEGACY
    sent_ns: int = 0
    """When it left for the server, monotonic nanoseconds; 0 while it has not."""
    rpc_id: bytes | None = None
    """The request's id as raw JSON; None for a notification."""
    method: str = ""
    params: Params = field(default_factory=dict)
    presented_key: str = ""
    client_name: str = ""
    session: Session | None = None
    session_id: str = ""
    """The id of the session that this call opens (`initialize`)."""
    problem: GarrisonError | None = None
    """Why the message cannot be served as it stands; `admit` refuses it, after `authenticate`."""
    target: Target = _NOTHING
    principal: Principal | None = None
    message: Message | None = None
    """What was posted, whole; None for a GET or DELETE."""
    owner: Owner | None = None
    """Set where the client needs a connection of its own."""
    connection: Connection | None = None
    """The client's own connection to the server, where it has one."""
    upstream: Upstream | None = None
    """The server that the call needs; None where it needs none in particular."""
    answer: Callable[[Call], Outcome | Pending | Awaitable[Outcome | None]] | None = None
    """How the gateway answers this itself; None where the server does."""
    definition: Definition | None = None
    """The called tool's definition, where the server listed it."""
    arguments: dict[str, Any] | None = None
    """The decoded arguments of a tool call: what was judged, and what is forwarded."""
    decision: Decision | None = None
    """What `authorise` decided; of what it depends on, `approve` decides."""
    approval: str = ""
    """The id of the approval that it uses."""
    depth: int = 0
    finished: bool = False
    passed: bool = False
    """Whether it came through all stages, so that what happens now is an outcome and no refusal."""
    kept_key: Hashable | None = None
    """Under which its answer may be kept; None where it may not, or was found."""
    counted: bool = False
    """Whether it counts in the bound on all calls."""
    concern: Concern | None = None
    """What counts it by the limits of garrison.yaml; None where nothing does."""
    retries: int = 0
    """How often it was made again after a failure."""
    permit: Permit | None = None
    """The breaker let it through and wants to hear what became of it."""
    limited: bool = False
    """Whether it counts among the calls in flight."""
    screener: Screener | None = None
    """Looks at what the server sends; None where nobody does."""
    screened: tuple[Screened, ...] = ()
    """What it found: codes and places."""
    bodies: frozenset[str] = frozenset()
    """Which of its bodies are kept: `request`, `response`."""
    streaming: bool = False
    finish: Callable[[Outcome], None] = _unbound
    on_cancel: Callable[[str], None] | None = None

    def cancel(self, reason: str) -> None:
        """The client does not want the answer any more."""
        if self.on_cancel is not None and not self.finished:
            self.on_cancel(reason)
