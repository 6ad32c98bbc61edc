"""What was decided of a call that walked through all stages: for which others it holds, and whether it still does.

Beside the stages, only this file knows what each of them decides a `tools/call` by. Whoever lets a stage look at more
has to name it here: in `Flow` and `holds`, or as a reason for the long way in `flows.is_repeatable`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from garrison.gateway import flows, routing
from garrison.gateway.breakers import Breaker
from garrison.gateway.call import Call, Outcome
from garrison.gateway.flows import Flow, FlowTable
from garrison.gateway.heads import reading_of
from garrison.gateway.inflight import InFlight
from garrison.gateway.levels import level_wanted
from garrison.gateway.metering import Metering
from garrison.gateway.screens import Screens
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
from garrison.gateway.upstreams.upstream import Upstream
from garrison.identity.authenticator import Authenticator
from garrison.identity.principals import Principal
from garrison.kernel.clock import Clock
from garrison.kernel.errors import GarrisonError
from garrison.policy.authoriser import Authoriser
from garrison.protocol.connection import Connection
from garrison.telemetry.redaction import redactor


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
    authenticator: Authenticator
    authoriser: Authoriser
    sessions: Sessions
    in_flight: InFlight
    metering: Metering
    screens: Screens


class Decisions:
    """`learn` makes a flow of a call that has ended well, `holds` says whether it may be used."""

    def __init__(self, stages: Stages, clock: Clock) -> None:
        self._stages = stages
        self._wall_ns = clock.wall_ns
        self._flows = FlowTable()
        self._known: object = None
        """The editions that were in force when a call was last learned from, and since when we know them."""
        self._known_since_ns = 0

    def learn(self, call: Call, outcome: Outcome) -> None:
        """A call has ended. If it was a plain one, the next ones like it can take the fast path."""
        if not flows.is_repeatable(call, outcome):
            return
        name, until_ns = flows.shown_name(call.request), self._until_ns(call)
        upstream, now_ns = call.upstream, time.monotonic_ns()
        if name is None or upstream is None or until_ns <= now_ns or not self._is_as_decided(call, upstream):
            return
        connection = call.connection or upstream.connection
        if connection is not None and connection.closed is None:
            key = (name, call.request.client, call.request.certificate)
            self._flows.add(call.request.head, key, self._flow(call, upstream, connection, name, until_ns), now_ns)

    def _until_ns(self, call: Call) -> int:
        """How long what was decided of the call may hold from now on. No key, token or session is outlived."""
        try:
            known = self._known_as(call)
        except GarrisonError:
            return 0
        if known is None or known[0] != call.principal:
            return 0
        ends_ns = known[1]
        if call.session is not None:
            ends_ns = min(ends_ns, call.session.expires_s * 1_000_000_000)
        ends_ns = min(ends_ns, self._stages.authoriser.until_ns)
        return time.monotonic_ns() + min(int(flows.HOLDS_S * 1e9), ends_ns - self._wall_ns())

    def _known_as(self, call: Call) -> tuple[Principal, int] | None:
        """As the stage has it. What a certificate names is asked anew with each request: it never ends here."""
        presented, certificate = reading_of(call.request.head).key, call.request.certificate
        if not presented and certificate is not None:
            return certificate, sys.maxsize
        return self._stages.authenticator.known(presented, call.endpoint)

    def _is_as_decided(self, call: Call, upstream: Upstream) -> bool:
        """Whether nothing has changed since the call came; a change is noticed here at the first call that ends."""
        editions = self._editions()
        if editions != self._known:
            self._known, self._known_since_ns = editions, time.monotonic_ns()
        if call.started_ns <= self._known_since_ns or call.owner != routing.owner_of(call, upstream):
            return False
        if self._stages.screens.edition.of_inputs(upstream.name, call.target.name) is not None:
            return False  # arguments differ from call to call
        if upstream.in_doubt or upstream.tools.get(call.target.name) is not call.definition:
            return False
        own = self._stages.own
        return not (own.views and own.views_of(_holder(call)))

    def _flow(self, call: Call, upstream: Upstream, connection: Connection, shown: str, until_ns: int) -> Flow:
        definition, principal, stages = call.definition, call.principal, self._stages
        assert definition is not None
        assert principal is not None
        sent = stages.forward.params(call, connection)
        before, after = flows.frame_around(sent)
        meta = call.params.get("_meta", msgspec.UNSET)
        return Flow(
            until_ns=until_ns,
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
            holder=_holder(call),
            pool=upstream.pool,
            connection=connection,
            definition=definition,
            params={key: value.copy() for key, value in call.params.items() if key != "arguments"},
            accepts=definition.input.is_valid if definition.input is not None else None,
            returns=definition.output.is_valid if definition.output is not None else None,
            colons=flows.colons_of(shown, meta),
            before=before,
            after=after,
            headers=connection.headers(call.method, sent),
            info=connection.info,
            level=stages.forward.level(call.session) if call.session is not None else "",
            log_level=level_wanted(sent if connection.info.era == "modern" else call.params),
            bridged=connection.info.era != call.era,
            account=stages.limit.account(principal.id),
            screener=call.screener,
            concern=stages.metering.concern(principal, call.target.kind, call.target.server, call.target.name),
            breaker=self._breaker(call, upstream),
            budget=stages.retry.budget(upstream),
            intent=stages.intent.fixed(call),
            outcome=stages.audit.fixed(call),
            called=stages.observe.cell(call, "ok"),
            forwarded=stages.forward.cell(call, "ok"),
            timeout_ns=int(upstream.spec.timeout_s * 1e9),
        )

    def _breaker(self, call: Call, upstream: Upstream) -> Breaker | None:
        """As the stage has it."""
        if call.owner is not None and upstream.spec.transport == "stdio":
            return self._stages.breaker.of_owner(call.owner.key)
        return self._stages.breaker.of(upstream) if upstream.pool is None else None

    def holds(self, flow: Flow) -> bool:
        """Whether it still does, but for its time."""
        upstream, stages = flow.upstream, self._stages
        keys, roles, names, secrets, meters, screening = flow.editions
        if stages.authenticator.edition is not keys or stages.authoriser.edition is not roles:
            return False
        if stages.directory.names is not names or redactor.version != secrets or stages.metering.edition is not meters:
            return False
        if stages.screens.edition is not screening:
            return False
        if upstream.lists is not flow.lists or upstream.pool is not flow.pool or upstream.rewrites:
            return False
        if flow.session is not None and not self._session_is_same(flow.session, flow):
            return False
        if stages.own.views and stages.own.views_of(flow.holder):
            return False  # what this client is shown may be its own
        if flow.owner is not None:
            held = stages.own.find(flow.owner)
            return held is not None and held.connection is flow.connection
        return flow.pool is not None or (upstream.connection is flow.connection and flow.connection.closed is None)

    def _session_is_same(self, session: Session, flow: Flow) -> bool:
        if flow.info.era == "modern" and self._stages.forward.level(session) != flow.level:
            return False
        return not self._stages.sessions.has_ended(session)

    def _editions(self) -> tuple[object, object, object, int, object, object]:
        stages, authoriser = self._stages, self._stages.authoriser
        own = stages.metering.edition, stages.screens.edition
        return stages.authenticator.edition, authoriser.edition, stages.directory.names, redactor.version, *own


def _holder(call: Call) -> str:
    """Under whose name connections of the client's own are held."""
    if call.session is not None:
        return call.session.id
    return call.principal.id if call.principal is not None else ""
