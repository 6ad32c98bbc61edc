"""The gateway: takes an HTTP request, makes a call of it, sends it through the pipeline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from garrison.catalog.screening import Screening
from garrison.gateway import outbound
from garrison.gateway.answers import Answers
from garrison.gateway.approving import Waiting
from garrison.gateway.asking import Asking
from garrison.gateway.backchannel import BackChannel
from garrison.gateway.batches import Batch, elements_of, request_of
from garrison.gateway.breakers import BreakerPolicy
from garrison.gateway.byways import Byways
from garrison.gateway.call import Call, HttpRequest, Outcome, Sink
from garrison.gateway.circumstances import how
from garrison.gateway.cursors import Cursors
from garrison.gateway.decisions import Stages
from garrison.gateway.endpoints import Endpoints
from garrison.gateway.fast import FastPath
from garrison.gateway.heads import reading_of
from garrison.gateway.inbound import Inbound
from garrison.gateway.inflight import InFlight
from garrison.gateway.invitations import Invitations
from garrison.gateway.kept import KeptAnswers
from garrison.gateway.lists import KeptLists
from garrison.gateway.loglevels import LogLevels
from garrison.gateway.metering import Metering
from garrison.gateway.parked import ParkedCalls
from garrison.gateway.pipeline import Pipeline, Wrap
from garrison.gateway.retries import RetryPolicy
from garrison.gateway.routing import Own
from garrison.gateway.screens import Screens
from garrison.gateway.seen import Seen
from garrison.gateway.sessions import Session, Sessions
from garrison.gateway.shares import SharedLimit
from garrison.gateway.sse import OlderStreams
from garrison.gateway.stages.admit import Admit
from garrison.gateway.stages.approve import Approve
from garrison.gateway.stages.audit import Audit, Intent
from garrison.gateway.stages.authenticate import Authenticate
from garrison.gateway.stages.authorise import Authorise
from garrison.gateway.stages.breaker import CircuitBreaker
from garrison.gateway.stages.cache import Cache
from garrison.gateway.stages.connect import Connect
from garrison.gateway.stages.forward import Forward
from garrison.gateway.stages.limit import Limit, Limits
from garrison.gateway.stages.meter import Meters
from garrison.gateway.stages.observe import Observe
from garrison.gateway.stages.retry import Retry
from garrison.gateway.stages.route import Route
from garrison.gateway.stages.screen import Screen
from garrison.gateway.stages.shed import Shed, ShedPolicy
from garrison.gateway.stages.validate import Validate
from garrison.gateway.streams import StreamBounds, Streams
from garrison.gateway.subscriptions import Subscriptions
from garrison.gateway.taskids import TaskIds
from garrison.gateway.tasks import Tasks
from garrison.gateway.translation import Translation
from garrison.gateway.unasked import Unasked
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections
from garrison.gateway.worker import Worker
from garrison.identity.authenticator import Authenticator
from garrison.identity.oauth.callers import CallerTokens
from garrison.identity.oauth.held import SignInNeeded
from garrison.identity.principals import Principal
from garrison.kernel.clock import Clock
from garrison.kernel.ids import Ids
from garrison.policy.authoriser import Authoriser
from garrison.protection.approvals import Approvals
from garrison.protection.bodies import BodyKeeper
from garrison.protection.ledger import Ledger
from garrison.telemetry.metrics import Metrics


@dataclass(frozen=True)
class Parts:
    """What the gateway is made of; the composition root brings it."""

    directory: Directory
    authenticator: Authenticator
    authoriser: Authoriser
    approvals: Approvals
    asking: Asking
    ledger: Ledger
    metrics: Metrics
    sessions: Sessions
    parked: ParkedCalls
    task_ids: TaskIds
    cursors: Cursors
    clock: Clock
    ids: Ids
    identity: dict[str, str]
    """Our `serverInfo` and `clientInfo`."""
    metering: Metering
    approval_wait_s: float = 45.0
    """How long a call stays open while somebody is asked to approve it."""
    limits: Limits = field(default_factory=Limits)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    shed: ShedPolicy = field(default_factory=ShedPolicy)
    streams: StreamBounds = field(default_factory=StreamBounds)
    worker: Worker = field(default_factory=Worker)
    callers: CallerTokens = field(default_factory=CallerTokens)
    invitations: Invitations | None = None
    screening: Screening = field(default_factory=Screening)
    bodies: BodyKeeper | None = None
    """Keeps bodies of calls, where that is wanted."""
    kept: KeptAnswers = field(default_factory=lambda: KeptAnswers(1000, 32 * 1024 * 1024))


class Gateway:
    """`handle` is the one way in."""

    def __init__(self, parts: Parts) -> None:
        self.endpoints = Endpoints(parts.directory)
        self.streams = Streams(self.endpoints.shows, parts.streams)
        self.in_flight = InFlight()
        self.back_channel = BackChannel()
        self.own = OwnConnections()
        self.lists = KeptLists()
        self.parked = parts.parked
        self.approving = Waiting(parts.approvals)
        self.seen = Seen(parts.directory, self.endpoints, self.own)
        self.unasked = Unasked(parts.directory, self.own, self.streams, self.back_channel)
        self.subscriptions = Subscriptions(
            parts.directory, self.endpoints, self.own, parts.authoriser, self.streams, self.unasked
        )
        self.levels = LogLevels(parts.directory, self.endpoints, self.own, parts.authoriser, self.unasked)
        self.tasks = Tasks(parts.task_ids, parts.directory, self.endpoints, self.own, self.unasked)
        parts.sessions.on_ended(self._forget_session)
        self.own.on_sweep = parts.sessions.expire
        self.shed = Shed(parts.shed, parts.metrics, parts.clock.monotonic_s)
        self.screens = Screens(parts.screening, parts.metrics)
        self.breaker = CircuitBreaker(parts.breaker, parts.directory, parts.metrics, parts.clock.monotonic_s)
        self._ids = parts.ids
        self.invitations = parts.invitations
        self._sessions = parts.sessions
        self._older = OlderStreams(parts.sessions, self._end_session)
        self._inbound = Inbound(parts.sessions)
        self._pipeline, self._fast = self._build(parts)
        parts.directory.on_changed(self.streams.announce)
        parts.directory.on_reshown(self.streams.announce_all)
        parts.directory.on_rejudged(self.own.rejudge)

    def handle(self, request: HttpRequest, sink: Sink) -> None:
        """Serve one request to an MCP endpoint; the answer goes to `sink`, now or later."""
        if request.head.flows and self._fast.take(request, sink):
            return
        call = Call(self._ids.new(), request, sink, time.monotonic_ns())
        self._inbound.read(call)
        if call.problem is not None:
            elements = elements_of(call, self._sessions)
            if elements:
                self._handle_batch(request, sink, elements)
                return
        if reading_of(call.request.head).older:
            self._handle_older(call)
            return
        self._start(call)

    def _handle_older(self, call: Call) -> None:
        reply = self._older.prepare(call)
        self._start(call)
        if reply is not None:
            reply.acknowledge()

    def _end_session(self, session: Session) -> None:
        self._sessions.end(session)
        self.own.end(session.id)

    def _forget_session(self, session: Session) -> None:
        """However it ended: nothing that was held for it is left."""
        self.own.end(session.id)
        self.streams.close_all(session.id)
        self.subscriptions.drop(session.id)
        self.levels.drop(session.id)

    def _handle_batch(self, request: HttpRequest, sink: Sink, elements: list[bytes]) -> None:
        batch = Batch(sink, len(elements))
        for element in elements:
            call = Call(self._ids.new(), request_of(request, element), batch.part(), time.monotonic_ns())
            self._inbound.read(call)
            self._start(call)

    def _start(self, call: Call) -> None:
        call.sink.on_disconnect(lambda: call.cancel("the client went away"))
        self._pipeline.start(call)

    def watch(self, wrap: Wrap) -> None:
        """For measurements: `wrap(name, function)` stands in place of each part of a call's way."""
        self._inbound.read = wrap("reading", self._inbound.read)  # type: ignore[method-assign]
        self._fast.take = wrap("fast path", self._fast.take)  # type: ignore[method-assign]
        self._fast.answered = wrap("fast path", self._fast.answered)  # type: ignore[method-assign]
        self._pipeline.watch(wrap)

    def fast_path(self, is_open: bool) -> None:
        """For measurements: whether calls learn to take it from now on."""
        self._fast.enabled = is_open

    def drain(self) -> None:
        """Take no new calls; those in flight may finish, and streams end in order."""
        self.shed.drain()
        self.streams.close_all()

    def _answer(self, call: Call, outcome: Outcome) -> None:
        if isinstance(outcome.failure, SignInNeeded) and self.invitations is not None:
            outcome = self.invitations.answer(call, outcome.failure)
        outbound.answer(call, outcome)
        self._fast.learn(call, outcome)

    def _build(self, parts: Parts) -> tuple[Pipeline, FastPath]:
        directory, authoriser = parts.directory, parts.authoriser
        durable = parts.ledger.settings.durability == "strict"
        connect = Connect(directory, self.own, self.unasked, parts.callers)
        observe = Observe(parts.metrics, time.monotonic_ns)
        audit = Audit(parts.ledger, parts.clock, time.monotonic_ns, parts.bodies)
        limit = self.limit = _limit(parts)
        self.streams.opened = limit.give_back
        authenticate = Authenticate(parts.authenticator, _allowance(authoriser))
        self.streams.stays = authenticate.still_knows
        retry = Retry(parts.retry, directory, parts.metrics, random.random)
        intent = Intent(parts.ledger, parts.clock, durable=durable, bodies=parts.bodies)
        forward = Forward(
            self.in_flight,
            self.back_channel,
            self.parked,
            Translation(self.tasks),
            self.levels,
            dict(parts.identity),
            parts.metrics,
            time.monotonic_ns,
            connect.reopen,
        )
        stages = (
            observe,
            self.shed,
            audit,
            authenticate,
            Admit(),
            self._route(parts),
            Authorise(authoriser),
            limit,
            Meters(parts.metering),
            connect,
            Validate(),
            Approve(authoriser, parts.approvals, self.approving, parts.asking, parts.approval_wait_s),
            Screen(authoriser, self.screens),
            Cache(parts.kept, directory, parts.metrics, parts.clock.monotonic_s),
            self.breaker,
            retry,
            intent,
            forward,
        )
        pipeline = Pipeline(stages, self._answer)
        concerned = Stages(
            observe, self.shed, audit, limit, self.breaker, retry, intent, forward,
            directory, self.own, parts.authenticator, authoriser, parts.sessions, self.in_flight, parts.metering,
            self.screens,
        )  # fmt: skip
        return pipeline, FastPath(concerned, pipeline, parts.ledger, parts.clock, parts.ids)

    def _route(self, parts: Parts) -> Route:
        answers = Answers(
            parts.directory,
            self.seen,
            parts.authoriser,
            parts.sessions,
            self.streams,
            self.in_flight,
            self.back_channel,
            self.own,
            self.lists,
            parts.cursors,
            parts.identity,
        )
        byways = Byways(parts.directory, parts.authoriser, self.subscriptions, self.tasks)
        more: dict[Own, Any] = {
            "set_level": self.levels.set_level,
            "unsubscribe": self.subscriptions.unsubscribe,
            "list_tasks": self.tasks.listed,
        }
        return Route(parts.directory, self.seen, answers, self.streams, self.parked, byways, more)


def _allowance(authoriser: Authoriser) -> Callable[[Principal, Call], bool]:
    """Whether somebody might make a call; what has no server in particular is open to whoever has any role."""

    def allows(principal: Principal, call: Call) -> bool:
        target = call.target
        if not target.server:
            return authoriser.admits(principal)
        return authoriser.decide(principal, target.kind, target.server, target.name, how(call)).allowed

    return allows


def _limit(parts: Parts) -> Limit:
    """One that counts what other workers let in, where there are some."""
    if parts.worker.count == 1:
        return Limit(parts.limits, parts.clock.monotonic_s)
    upstreams = parts.directory
    in_flight = lambda: {name: upstream.in_flight for name, upstream in upstreams.upstreams.items()}  # noqa: E731
    return SharedLimit(parts.limits, parts.clock.monotonic_s, in_flight)
