"""One call on the fast path (see `flows`), and the reply to it. Whatever is unusual makes an ordinary call of it."""

from __future__ import annotations

import time
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from garrison.gateway import bridge
from garrison.gateway.breakers import Permit
from garrison.gateway.call import Call, HttpRequest, Sink
from garrison.gateway.exchange import Exchange
from garrison.gateway.flows import Flow
from garrison.gateway.sessions import Session
from garrison.kernel.errors import GarrisonError
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.large import LargeReply, Pieces, Valve
from garrison.protocol.messages import Message, RpcError
from garrison.protocol.question import Question


class Path(Protocol):
    """What a call needs of the fast path."""

    def sent(self, call: FastCall) -> None: ...

    def answered(self, call: FastCall, result: bytes | Raw) -> bool:
        """The good end. False when it cannot be recorded; then the stages say so."""

    def ordinary(self, fast: FastCall) -> tuple[Call, Exchange]:
        """The same call as one that has passed all stages, and its exchange."""


class FastCall(LargeReply):
    """`started_ns` and `due_ns`: monotonic nanoseconds. `rpc_id` is JSON."""

    __slots__ = (
        "_path",
        "arguments",
        "connection",
        "due_ns",
        "flow",
        "id",
        "permit",
        "request",
        "request_id",
        "rpc_id",
        "sent_ns",
        "session",
        "sink",
        "started_ns",
    )
    method = methods.TOOLS_CALL

    def __init__(
        self,
        path: Path,
        flow: Flow,
        call_id: str,
        request: HttpRequest,
        sink: Sink,
        rpc_id: bytes,
        arguments: dict[str, Any],
        started_ns: int,
    ) -> None:
        self._path = path
        self.flow = flow
        self.session: Session | None = flow.session
        self.id = call_id
        self.request = request
        self.sink = sink
        self.rpc_id = rpc_id
        self.arguments = arguments
        self.started_ns = self.sent_ns = started_ns
        self.due_ns = started_ns + flow.timeout_ns
        self.permit: Permit | None = flow.breaker.permit if flow.breaker is not None else None
        self.connection: Connection | None = flow.connection
        self.request_id = 0

    @property
    def log_level(self) -> str:
        """As an exchange has it."""
        return self.flow.log_level

    def send(self, arguments: bytes) -> None:
        flow, connection = self.flow, self.connection
        assert connection is not None
        flow.budget.earn()
        self.request_id = request_id = connection.reserve()
        self.sink.on_disconnect(self.give_up)
        self._path.sent(self)
        frame = b'{"jsonrpc":"2.0","id":%d%b%b%b' % (request_id, flow.before, arguments, flow.after)
        headers = flow.headers
        if connection is not flow.connection or connection.info is not flow.info:
            headers = connection.headers(methods.TOOLS_CALL, flow.params)
        self.sent_ns = time.monotonic_ns()
        connection.send(request_id, frame, self, headers)

    # ── the reply ──

    def result(self, result: Raw) -> None:
        flow = self.flow
        if flow.may_return(result):
            own = self._bridged(result) if flow.bridged else result
            if own is not None and self._path.answered(self, own):
                return
        self._path.ordinary(self)[1].result(result)

    def _bridged(self, result: Raw) -> bytes | Raw | None:
        """None where it cannot be read to its end."""
        flow = self.flow
        try:
            return bridge.result(result, methods.TOOLS_CALL, flow.era, flow.info.era)
        except (msgspec.MsgspecError, RecursionError):
            return None

    def error(self, error: RpcError) -> None:
        self._path.ordinary(self)[1].error(error)

    def failed(self, error: GarrisonError) -> None:
        self._path.ordinary(self)[1].failed(error)

    def message(self, message: Message) -> None:
        self._path.ordinary(self)[1].message(message)

    def streaming(self) -> None:
        self._path.ordinary(self)[1].streaming()

    def large(self, room_bytes: int | None, valve: Valve) -> Pieces | None:
        return self._path.ordinary(self)[1].large(room_bytes, valve)

    def question(self, question: Question) -> None:
        self._path.ordinary(self)[1].question(question)

    # ── its other ends ──

    def give_up(self) -> None:
        self.cancel("the client went away")
        self.sink.on_disconnect(_told)  # no cycle: what the ordinary call has left there would never be let go of

    def cancel(self, reason: str) -> None:
        self._path.ordinary(self)[0].cancel(reason)

    def expire(self) -> None:
        self._path.ordinary(self)[1].expire()


def _told() -> None:
    """Who is gone cannot go again."""
