"""Calls on the fast path (see `flows`): in, to the server, and back, without a stop."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec
from msgspec import UNSET, Raw

from garrison.gateway import flows
from garrison.gateway.breakers import Verdict
from garrison.gateway.call import Call, HttpRequest, Outcome, Sink
from garrison.gateway.decisions import Decisions, Stages
from garrison.gateway.exchange import Exchange
from garrison.gateway.fastcall import FastCall
from garrison.gateway.flows import Asked, Flow
from garrison.gateway.outbound import JSON
from garrison.gateway.pipeline import Pipeline
from garrison.kernel.clock import Clock
from garrison.kernel.errors import Defect, GarrisonError
from garrison.kernel.ids import Ids
from garrison.protection.ledger import Ledger
from garrison.protocol import methods
from garrison.protocol.messages import encode, raw
from garrison.protocol.wellformed import is_plain

TICK_S = 0.1
"""How often deadlines are looked at: one look at all calls costs less than a timer for each."""

log = logging.getLogger("garrison.gateway")


class FastPath:
    """`take` serves a call at once where a flow says how; `learn` makes a flow of a call that has ended well."""

    def __init__(self, stages: Stages, pipeline: Pipeline, ledger: Ledger, clock: Clock, ids: Ids) -> None:
        self._stages = stages
        self._shed = stages.shed
        self._within_limits = stages.limit.within
        self._metering = stages.metering
        self._pipeline = pipeline
        self._new_id = ids.new
        self._wall_ns = clock.wall_ns
        self._record = ledger.append_line
        self._decisions = Decisions(stages, clock)
        self._holds = self._decisions.holds
        self._timer: asyncio.TimerHandle | None = None
        self._under_way = 0
        self.taken = 0
        """Calls that came this way."""
        self.enabled = ledger.settings.durability == "batched"
        """In `strict` each call waits for the disk; what it costs beside that hardly matters."""

    # ── in ──

    def take(self, request: HttpRequest, sink: Sink) -> bool:
        """Serve the request; False, with nothing done, when it has to go the long way."""
        try:
            message = flows.read(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        asked = message.params
        flow: Flow | None = request.head.flows.get((asked.name, request.client, request.certificate))
        now_ns = time.monotonic_ns()
        if flow is None or asked.meta != flow.meta or now_ns >= flow.until_ns or not self._holds(flow):
            return False
        try:
            arguments = _judged(flow, request.body, asked)
            rpc_id = encode(message.id)
        except Exception:  # noqa: BLE001 (boundary: what cannot be judged or written here, the stages refuse)
            return False
        if arguments is None:
            return False
        if not self._lets_in(flow, len(request.body)):
            return False
        call = FastCall(self, flow, self._new_id(), request, sink, rpc_id, asked.arguments or {}, now_ns)
        try:
            seated = flow.breaker is not None or self._seat(call)
            if seated:
                self._record(flow.intent.line(self._wall_ns(), "call.intent", call.id, "", 0))
        except GarrisonError:
            seated = False
        if not seated:
            self._take_back(call, now_ns)
            return False
        self._shed.count()
        self.taken += 1
        try:
            call.send(arguments)
        except Exception:  # boundary: a defect ends its call, not the connection of its client
            log.exception("a call could not be sent", extra={"call": call.id})
            call.failed(Defect("gateway.defect", f"the gateway failed on this call ({call.id})", "its log has more"))
        return True

    def _lets_in(self, flow: Flow, size: int) -> bool:
        """Count a call in, unless anything is in its way."""
        if self._shed.in_flight >= self._shed.room or (flow.breaker is not None and flow.breaker.state != "closed"):
            return False
        concern = flow.concern
        if concern is not None and not self._metering.admits(concern, size):
            return False
        if self._within_limits(flow.account, flow.upstream):
            return True
        if concern is not None:
            self._metering.undo(concern, size)
        return False

    def _seat(self, call: FastCall) -> bool:
        """Give it a place at one of several instances. May raise a typed error when there is none now."""
        flow = call.flow
        assert flow.pool is not None
        call.connection = flow.connection if flow.owner is not None else None
        taken = flow.pool.take(call)
        return taken and call.connection is not None and call.connection.info.era == flow.info.era

    def _take_back(self, call: FastCall, now_ns: int) -> None:
        """It was counted in, and was not made."""
        self._leave(call, "unknown", now_ns)
        call.flow.account.tokens += 1
        if call.flow.concern is not None:
            self._metering.undo(call.flow.concern, len(call.request.body))

    def _leave(self, call: FastCall, verdict: Verdict, now_ns: int) -> None:
        """What was counted for a call is counted back."""
        if call.permit is not None:
            call.permit.breaker.tell(call.permit, verdict, now_ns / 1e9)
        call.flow.account.in_flight -= 1
        call.flow.upstream.left()

    def learn(self, call: Call, outcome: Outcome) -> None:
        """A call has ended. If it was a plain one, the next ones like it can take the fast path."""
        if self.enabled:
            self._decisions.learn(call, outcome)

    # ── called by calls ──

    def sent(self, call: FastCall) -> None:
        self._under_way += 1
        self._stages.in_flight.add(call)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def answered(self, call: FastCall, result: bytes | Raw) -> bool:
        """The good end. False when it cannot be recorded; then the stages say so."""
        flow, stages = call.flow, self._stages
        now_ns = time.monotonic_ns()
        duration_us = (now_ns - call.started_ns) // 1000
        try:
            self._record(flow.outcome.line(self._wall_ns(), "call.outcome", call.id, "ok", duration_us))
        except GarrisonError:
            return False
        self._under_way -= 1
        stages.in_flight.remove(call)
        self._leave(call, "good", now_ns)
        if flow.concern is not None:
            self._metering.leave(flow.concern, len(memoryview(result)))
        self._shed.in_flight -= 1
        flow.forwarded.observe((now_ns - call.sent_ns) / 1e9)
        flow.called.observe((now_ns - call.started_ns) / 1e9)
        call.sink.respond(200, b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call.rpc_id, result), JSON)
        return True

    def ordinary(self, fast: FastCall) -> tuple[Call, Exchange]:
        """The same call as one that has passed all stages, and its exchange."""
        flow, stages = fast.flow, self._stages
        call = Call(fast.id, fast.request, fast.sink, fast.started_ns)
        call.endpoint, call.era, call.version, call.rpc_id = flow.endpoint, flow.era, flow.version, fast.rpc_id
        call.method, call.client_name, call.session = methods.TOOLS_CALL, flow.client, flow.session
        call.principal, call.target, call.owner, call.upstream = flow.principal, flow.target, flow.owner, flow.upstream
        call.connection = fast.connection if flow.owner is not None or flow.pool is not None else None
        call.definition, call.arguments = flow.definition, fast.arguments
        call.params = {**flow.params, "arguments": raw(fast.arguments)}
        call.screener = flow.screener
        call.limited = call.counted = call.passed = True
        call.concern = flow.concern
        call.permit, call.sent_ns = fast.permit, fast.sent_ns
        self._under_way -= 1
        stages.in_flight.remove(fast)
        stages.in_flight.add(call)
        self._pipeline.take_over(call)
        call.sink.on_disconnect(lambda: call.cancel("the client went away"))
        connection = fast.connection or flow.connection
        left_s = max(0.0, (fast.due_ns - time.monotonic_ns()) / 1e9)
        exchange = stages.forward.take_over(call, connection, fast.request_id, left_s)
        connection.replace(fast.request_id, exchange)
        return call, exchange

    def _tick(self) -> None:
        self._timer = None
        now_ns = time.monotonic_ns()
        for call in self._stages.in_flight.calls():
            if isinstance(call, FastCall) and now_ns >= call.due_ns:
                call.expire()
        if self._under_way:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)


def _judged(flow: Flow, body: bytes | bytearray, asked: Asked) -> bytes | None:
    """The arguments as they are to be sent; None where the schema or the text's own form is not as it should be."""
    given, colons = (asked.arguments, flow.colons) if asked.arguments is not UNSET else ({}, flow.colons - 1)
    if flow.accepts is not None and not flow.accepts(given):
        return None
    written = encode(given)
    return written if is_plain(body, colons + written.count(b":")) else None
