"""Calls on the fast path (see `flows`): in, to the server, and back, without a stop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from garrison.gateway import bridge, flows
from garrison.gateway.breakers import Permit, Verdict
from garrison.gateway.call import Call, HttpRequest, Outcome, Sink
from garrison.gateway.exchange import Exchange
from garrison.gateway.flows import Flow, FlowTable
from garrison.gateway.heads import is_transparent
from garrison.gateway.inflight import InFlight
from garrison.gateway.outbound import JSON
from garrison.gateway.pipeline import Pipeline
from garrison.gateway.sessions import Session, Sessions
from garrison.gateway.stages.audit import Audit, Intent
from garrison.gateway.stages.breaker import CircuitBreaker
from garrison.gateway.stages.forward import Forward
from garrison.gateway.stages.limit import Limit
from garrison.gateway.stages.observe import Observe
from garrison.gateway.stages.retry import Retry
from garrison.gateway.stages.shed import Shed
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections
from garrison.gateway.upstreams.pool import Pool
from garrison.gateway.upstreams.upstream import Upstream
from garrison.identity.keys import KeyStore
from garrison.identity.roles import Authoriser
from garrison.kernel.clock import Clock
from garrison.kernel.errors import GarrisonError
from garrison.kernel.ids import Ids
from garrison.protection.ledger import Ledger
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, RpcError, encode, raw, result_frame
from garrison.protocol.question import Question
from garrison.telemetry.redaction import redactor

TICK_S = 0.1
"""How often deadlines are looked at: one look at all calls costs less than a timer for each."""


@dataclass(frozen=True)
class Stages:
    """The stages that a call on the fast path concerns, and what decisions rest on."""

    observe: Observe
    shed: Shed
    audit: Audit
    limit: Limit
    breaker: CircuitBreaker
    retry: Retry
    intent: Intent
    forward: Forward
    directory: Directory
    own: OwnConnections
    keys: KeyStore
    authoriser: Authoriser
    sessions: Sessions
    in_flight: InFlight


class FastPath:
    """`take` serves a call at once where a flow says how; `learn` makes a flow of a call that has ended well."""

    def __init__(self, stages: Stages, pipeline: Pipeline, ledger: Ledger, clock: Clock, ids: Ids) -> None:
        self._stages = stages
        self._shed = stages.shed
        self._within_limits = stages.limit.within
        self._pipeline = pipeline
        self._new_id = ids.new
        self._wall_ns = clock.wall_ns
        self._record = ledger.append_line
        self._flows = FlowTable()
        self.timer: asyncio.TimerHandle | None = None
        self.in_flight = stages.in_flight
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
        flow: Flow | None = request.head.flows.get((asked.name, request.client))
        now_ns = time.monotonic_ns()
        if flow is None or asked.meta != flow.meta or now_ns >= flow.until_ns or not self._holds(flow):
            return False
        if flow.accepts is not None and not flow.accepts(asked.arguments):
            return False
        if flow.breaker is not None and flow.breaker.state != "closed":
            return False
        if self._shed.in_flight >= self._shed.room or not self._within_limits(flow.account, flow.upstream):
            return False
        call = FastCall(self, flow, self._new_id(), request, sink, encode(message.id), asked.arguments, now_ns)
        try:
            seated = flow.pool is None or self._seat(flow.pool, call)
            if seated:
                self._record(flow.intent.line(self._wall_ns(), "call.intent", call.id, "", 0))
        except GarrisonError:
            seated = False
        if not seated:
            self._leave(call, "unknown", now_ns)
            return False
        self._shed.count()
        self.taken += 1
        call.send()
        return True

    def _holds(self, flow: Flow) -> bool:
        """Whether what was decided still holds."""
        upstream, stages = flow.upstream, self._stages
        keys, roles, names, secrets = flow.editions
        if stages.keys.edition is not keys or stages.authoriser.edition is not roles:
            return False
        if stages.directory.names is not names or redactor.version != secrets:
            return False
        if upstream.lists is not flow.lists or upstream.pool is not flow.pool or upstream.rewrites:
            return False
        if flow.session is not None and not self._session_is_same(flow.session, flow):
            return False
        if flow.owner is not None:
            held = stages.own.find(flow.owner)
            return held is not None and held.connection is flow.connection and held.view is flow.view
        if stages.own.views and not is_transparent(flow.endpoint):
            return False  # what this client is shown may be its own
        return flow.pool is not None or (upstream.connection is flow.connection and flow.connection.closed is None)

    def _session_is_same(self, session: Session, flow: Flow) -> bool:
        if flow.server_era == "modern" and self._stages.forward.level(session) != flow.level:
            return False
        return not self._stages.sessions.has_ended(session)

    def _editions(self) -> tuple[object, object, object, int]:
        stages = self._stages
        return stages.keys.edition, stages.authoriser.edition, stages.directory.names, redactor.version

    def _seat(self, pool: Pool, call: FastCall) -> bool:
        """Give it a place at one of several instances. May raise a typed error when there is none now."""
        call.connection = call.flow.connection if call.flow.owner is not None else None
        taken = pool.take(call)
        return taken and call.connection is not None and call.connection.info.era == call.flow.server_era

    def _leave(self, call: FastCall, verdict: Verdict, now_ns: int) -> None:
        """What was counted for a call is counted back."""
        if call.permit is not None:
            call.permit.breaker.tell(call.permit, verdict, now_ns / 1e9)
        call.flow.account.in_flight -= 1
        call.flow.upstream.left()

    def learn(self, call: Call, outcome: Outcome) -> None:
        """A call has ended. If it was a plain one, the next ones like it can take the fast path."""
        if not self.enabled or not flows.is_repeatable(call, outcome):
            return
        name, upstream = flows.shown_name(call.request), call.upstream
        if name is None or upstream is None:
            return
        connection = call.connection or upstream.connection
        held = self._stages.own.find(call.owner) if call.owner is not None else None
        if connection is None or connection.closed is not None or (call.owner is not None and held is None):
            return
        flow = self._flow(call, upstream, connection, held.view if held is not None else None)
        self._flows.add(call.request.head, (name, call.request.client), flow)

    def _flow(self, call: Call, upstream: Upstream, connection: Connection, view: Upstream | None) -> Flow:
        definition, principal, stages = call.definition, call.principal, self._stages
        assert definition is not None
        assert principal is not None
        sent = stages.forward.params(call, connection)
        before, after = flows.frame_around(sent)
        meta = call.params.get("_meta", msgspec.UNSET)
        alone = upstream.pool is not None or (call.owner is not None and upstream.spec.transport == "stdio")
        return Flow(
            until_ns=time.monotonic_ns() + int(flows.HOLDS_S * 1e9),
            editions=self._editions(),
            meta=meta.copy() if isinstance(meta, Raw) else meta,
            lists=upstream.lists,
            principal=principal,
            client=call.client_name,
            endpoint=call.endpoint,
            era=call.era,
            version=call.version,
            session=call.session,
            target=call.target,
            owner=call.owner,
            upstream=upstream,
            view=view,
            pool=upstream.pool,
            connection=connection,
            definition=definition,
            params={key: value for key, value in call.params.items() if key != "arguments"},
            accepts=definition.input.is_valid if definition.input is not None else None,
            returns=definition.output.is_valid if definition.output is not None else None,
            before=before,
            after=after,
            headers=connection.headers(call.method, sent),
            server_era=connection.info.era,
            level=stages.forward.level(call.session) if call.session is not None else "",
            bridged=connection.info.era != call.era,
            account=stages.limit.account(principal.id),
            breaker=None if alone else stages.breaker.of(upstream),
            budget=stages.retry.budget(upstream),
            intent=stages.intent.fixed(call),
            outcome=stages.audit.fixed(call),
            called=stages.observe.cell(call, "ok"),
            forwarded=stages.forward.cell(call, "ok"),
            timeout_ns=int(upstream.spec.timeout_s * 1e9),
        )

    # ── called by calls ──

    def watch(self) -> None:
        """Look at deadlines as long as there are calls."""
        self.timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def answered(self, call: FastCall, result: bytes | Raw) -> bool:
        """The good end. False when it cannot be recorded; then the stages say so."""
        flow, now_ns = call.flow, time.monotonic_ns()
        duration_us = (now_ns - call.started_ns) // 1000
        try:
            self._record(flow.outcome.line(self._wall_ns(), "call.outcome", call.id, "ok", duration_us))
        except GarrisonError:
            return False
        self.in_flight.remove(call)
        self._leave(call, "good", now_ns)
        self._shed.in_flight -= 1
        flow.forwarded.observe((now_ns - call.sent_ns) / 1e9)
        flow.called.observe((now_ns - call.started_ns) / 1e9)
        call.sink.respond(200, result_frame(call.rpc_id, result), JSON)
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
        call.limited = call.counted = call.passed = True
        call.permit, call.sent_ns = fast.permit, fast.sent_ns
        stages.in_flight.remove(fast)
        stages.in_flight.add(call)
        self._pipeline.take_over(call)
        call.sink.on_disconnect(lambda: call.cancel("the client went away"))
        connection = fast.connection or flow.connection
        exchange = stages.forward.take_over(call, connection, fast.request_id)
        connection.replace(fast.request_id, exchange)
        return call, exchange

    def _tick(self) -> None:
        self.timer = None
        now_ns = time.monotonic_ns()
        for call in self.in_flight.calls():
            if isinstance(call, FastCall) and now_ns >= call.due_ns:
                call.expire()
        if len(self.in_flight):
            self.watch()


class FastCall:
    """One call on the fast path, and the reply to it. Whatever is unusual makes an ordinary call of it."""

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
        path: FastPath,
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
        self.session = flow.session
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

    def send(self) -> None:
        flow, connection = self.flow, self.connection
        assert connection is not None
        flow.budget.earn()
        self.request_id = request_id = connection.reserve()
        self.sink.on_disconnect(self.give_up)
        path = self._path
        path.in_flight.add(self)
        if path.timer is None:
            path.watch()
        frame = b'{"jsonrpc":"2.0","id":%d%b%b%b' % (request_id, flow.before, encode(self.arguments), flow.after)
        headers = flow.headers
        if connection is not flow.connection:
            headers = connection.headers(methods.TOOLS_CALL, flow.params)
        self.sent_ns = time.monotonic_ns()
        connection.send(request_id, frame, self, headers)

    # ── the reply ──

    def result(self, result: Raw) -> None:
        flow = self.flow
        if flow.may_return(result):
            own = bridge.result(result, methods.TOOLS_CALL, flow.era, flow.server_era) if flow.bridged else result
            if self._path.answered(self, own):
                return
        self._path.ordinary(self)[1].result(result)

    def error(self, error: RpcError) -> None:
        self._path.ordinary(self)[1].error(error)

    def failed(self, error: GarrisonError) -> None:
        self._path.ordinary(self)[1].failed(error)

    def message(self, message: Message) -> None:
        self._path.ordinary(self)[1].message(message)

    def streaming(self) -> None:
        self._path.ordinary(self)[1].streaming()

    def question(self, question: Question) -> None:
        self._path.ordinary(self)[1].question(question)

    # ── its other ends ──

    def give_up(self) -> None:
        self.cancel("the client went away")

    def cancel(self, reason: str) -> None:
        self._path.ordinary(self)[0].cancel(reason)

    def expire(self) -> None:
        self._path.ordinary(self)[1].expire()
