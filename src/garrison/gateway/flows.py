"""The fast path: what was decided for one tool call holds for those like it, for a moment.

The first call of a kind walks through every stage of the pipeline and leaves a flow behind, as the first packet does in
a switch. Calls alike (same head, same tool, same `_meta`) are then only checked for what can differ: their arguments,
the limits, the server's health. As soon as anything is not as usual, a call takes the long way instead, before anything
was done for it; or, if it is at the server already, becomes an ordinary call that ends through all stages. So the fast
path need not know what can go wrong, and decides nothing that the stages do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from garrison.gateway.breakers import Breaker
from garrison.gateway.call import Call, HttpRequest, Outcome, Target
from garrison.gateway.heads import Head, reading_of
from garrison.gateway.metering import Concern
from garrison.gateway.retries import Budget
from garrison.gateway.sessions import Session
from garrison.gateway.stages.limit import Account
from garrison.gateway.stages.screen import decode_tool_result
from garrison.gateway.upstreams.definition import Definition
from garrison.gateway.upstreams.own import Owner
from garrison.gateway.upstreams.pool import Pool
from garrison.gateway.upstreams.upstream import Upstream
from garrison.identity.principals import Principal
from garrison.policy.screening.screener import Screener
from garrison.protection.entries import Fixed
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import ServerInfo
from garrison.protocol.headers import Headers
from garrison.protocol.messages import Params, decode_any, encode, members
from garrison.protocol.versions import Era
from garrison.telemetry.metrics import HistogramCell

HOLDS_S = 0.5
"""So long a flow holds; then a call of its kind walks through all stages again. With `RECHECK_S` of the keys it makes
the second within which a key that another process revoked is refused."""
FLOWS_MAX = 16_384
FLOWS_PER_HEAD_MAX = 64
META_BYTES_MAX = 4096

Valid = Callable[[object], bool]
_Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Str = Annotated[str, Meta(max_length=100)]


class Asked(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`params` of a call that wants nothing special."""

    name: str
    arguments: dict[str, Any] | UnsetType = UNSET
    meta: Raw | UnsetType = msgspec.field(default=UNSET, name="_meta")


class Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A `tools/call` as nearly all are."""

    jsonrpc: Literal["2.0"]
    id: _Int | _Str
    """Larger ones take the long way, where ids have a bound."""
    method: Literal["tools/call"]
    params: Asked


read = msgspec.json.Decoder(Message).decode


@dataclass(slots=True, eq=False)
class Flow:
    """What calls of one kind have in common."""

    until_ns: int
    editions: tuple[object, object, object, int, object, object]
    """Of keys, roles, names, secrets, meters and screening, when the decisions were made."""
    meta: Raw | UnsetType
    lists: Mapping[str, Mapping[str, Definition]]

    principal: Principal
    client: str
    endpoint: str
    era: Era
    version: str
    session: Session | None
    target: Target
    owner: Owner | None
    upstream: Upstream
    holder: str
    """The session or principal that could see other lists than the rest."""
    pool: Pool | None
    connection: Connection
    """Where calls go; with a pool, one of those."""
    definition: Definition
    params: Params
    """All but the arguments."""

    accepts: Valid | None
    """Checks arguments; None where the tool has no usable schema."""
    returns: Valid | None
    """Checks structured content; None where none is owed."""
    screener: Screener | None
    """Says whether a result may go on as it is; None where nobody looks."""
    colons: int
    """How many stand in a request, but for those in its arguments."""
    before: bytes
    after: bytes
    """The request to the server around its arguments, from the id on."""
    headers: Headers
    """For `connection`."""
    info: ServerInfo
    """What `connection` speaks."""
    level: str
    """What the client's session wants of a modern server's log."""
    log_level: str
    """What the request itself asks for."""
    bridged: bool
    """The server speaks the other era."""

    account: Account
    concern: Concern | None
    """What counts these calls by the limits of garrison.yaml."""
    breaker: Breaker | None
    """None where the pool gives calls their seats: its instances have their own."""
    budget: Budget
    intent: Fixed
    outcome: Fixed
    called: HistogramCell
    forwarded: HistogramCell
    timeout_ns: int

    def may_return(self, result: Raw) -> bool:
        """Whether this is a complete result without an error, as the tool promises it; else the stages look at it."""
        try:
            if self.screener is not None and not self.screener.is_clean(result):
                return False
            found = decode_tool_result(result)
            if found.isError or found.resultType != "complete":
                return False
            if self.returns is None:
                return not self.definition.has_output_schema
            return found.structuredContent is not UNSET and self.returns(decode_any(found.structuredContent))
        except Exception:  # noqa: BLE001 (boundary: what cannot be judged here, the stages judge)
            return False


def is_repeatable(call: Call, outcome: Outcome) -> bool:
    """Whether calls like this one, which has ended, may take the fast path."""
    if call.method != methods.TOOLS_CALL or call.rpc_id is None or outcome.result is None:
        return False
    if call.message is None:
        return False  # it began on the fast path: nothing was decided anew
    if (
        call.answer is not None
        or call.streaming
        or call.retries
        or call.screened
        or call.bodies
        or outcome.tool_error
        or not call.passed
    ):
        return False
    if call.decision is None or not call.decision.repeatable or call.upstream is None or call.upstream.rewrites:
        return False
    if call.definition is None or call.definition.header_names or not call.params.keys() <= _MEMBERS:
        return False
    reading = reading_of(call.request.head)
    return not reading.older and not reading.params and _is_plain(call.params.get("_meta"))


_MEMBERS = frozenset({"name", "arguments", "_meta"})


def _is_plain(meta: Raw | None) -> bool:
    """No progress is asked for: its token would have to be replaced in each request."""
    if meta is None:
        return True
    if len(memoryview(meta)) > META_BYTES_MAX:
        return False
    try:
        return "progressToken" not in members(meta) and decode_any(meta) is not None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def shown_name(request: HttpRequest) -> str | None:
    """The tool's name as the client wrote it, in a message of the kind that the fast path reads."""
    try:
        return read(request.body).params.name
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def colons_of(name: str, meta: Raw | UnsetType) -> int:
    """How many a request has around its arguments: one for each member, and those in what calls alike repeat."""
    in_meta = 0 if meta is UNSET else 1 + bytes(meta).count(b":")
    return 6 + encode(name).count(b":") + in_meta


def frame_around(sent: Params) -> tuple[bytes, bytes]:
    """The request's bytes between its id and its arguments, and after them."""
    before = b',"method":"tools/call","params":{"name":%b,"arguments":' % encode(sent["name"])
    rest = {key: value for key, value in sent.items() if key not in ("name", "arguments")}
    return before, (b"," + encode(rest)[1:] if rest else b"}") + b"}"


Key = tuple[str, str, Principal | None]
"""The tool's name as its client wrote it, the client's address, and whom its certificate names."""


class FlowTable:
    """All flows, each noted in its head. Those that are over go when others come; when it is full, the oldest go."""

    def __init__(self) -> None:
        self._flows: deque[tuple[Head, Key, Flow]] = deque()

    def __len__(self) -> int:
        return len(self._flows)

    def add(self, head: Head, key: Key, flow: Flow, now_ns: int) -> None:
        while self._flows and (self._flows[0][2].until_ns <= now_ns or len(self._flows) >= FLOWS_MAX):
            self._drop(*self._flows.popleft())
        if len(head.flows) >= FLOWS_PER_HEAD_MAX:
            head.flows.clear()
        head.flows[key] = flow
        self._flows.append((head, key, flow))

    def _drop(self, head: Head, key: Key, flow: Flow) -> None:
        if head.flows.get(key) is flow:
            del head.flows[key]
