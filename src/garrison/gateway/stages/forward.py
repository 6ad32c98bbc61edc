"""forward: to the server, and back: the only stage that waits for somebody else, and it does so by callbacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from garrison.gateway import bridge, routing
from garrison.gateway.backchannel import BackChannel
from garrison.gateway.call import PENDING, Call, Outcome
from garrison.gateway.exchange import Exchange
from garrison.gateway.inflight import InFlight
from garrison.gateway.levels import with_level
from garrison.gateway.loglevels import LogLevels
from garrison.gateway.parked import ParkedCalls
from garrison.gateway.sessions import Session
from garrison.gateway.stage import Stage, Step
from garrison.gateway.translation import Translation
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Params
from garrison.telemetry import names
from garrison.telemetry.metrics import HistogramCell, Metrics


class Forward(Stage):
    """`client_info`: what we call ourselves towards modern servers on behalf of legacy clients. `reopen` gives a call
    another connection of its client's own, where the one that it had has ended.
    """

    name = "forward"
    needs = frozenset({"target", "arguments", "recorded", "screened"})

    def __init__(
        self,
        in_flight: InFlight,
        back_channel: BackChannel,
        parked: ParkedCalls,
        translation: Translation,
        levels: LogLevels,
        client_info: dict[str, Any],
        metrics: Metrics,
        monotonic_ns: Callable[[], int],
        reopen: Callable[[Call], Awaitable[None]],
    ) -> None:
        labels = (names.METHOD, names.SERVER, names.ERROR_TYPE)
        about = "Duration of requests to servers, from sending to the answer."
        self._durations = metrics.histogram(names.CLIENT_OPERATION_DURATION, about, labels)
        self._now = monotonic_ns
        self._in_flight = in_flight
        self._back_channel = back_channel
        self._parked = parked
        self._translation = translation
        self._levels = levels
        self._client_info = client_info
        self._reopen = reopen

    def enter(self, call: Call) -> Step:
        call.passed = True
        self._in_flight.add(call)
        if call.answer is not None:
            return call.answer(call)
        if call.connection is not None and call.connection.closed is not None and call.owner is not None:
            return self._send_on_another(call)
        return self._send(call)

    async def _send_on_another(self, call: Call) -> None:
        """Nothing of this attempt has left: a retry, or the connection ended while the call was judged."""
        await self._reopen(call)
        if not call.finished:
            self._send(call)

    def _send(self, call: Call) -> Step:
        assert call.upstream is not None
        if call.upstream.rewrites:
            self._translation.apply(call)
        connection = call.connection or call.upstream.live_for_all()
        call.sent_ns = self._now()
        exchange = Exchange(call, connection, call.upstream.spec.timeout_s, self._back_channel, self._parked)
        exchange.send(self.params(call, connection))
        return PENDING

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        self._in_flight.remove(call)
        if call.sent_ns:
            self.cell(call, outcome.word).observe((self._now() - call.sent_ns) / 1e9)
        self._back_channel.forget(call)
        return outcome

    def cell(self, call: Call, word: str) -> HistogramCell:
        """Where requests like this one, with this outcome, are counted."""
        return self._durations.cell(call.method, call.target.server, "" if word == "ok" else word)

    def take_over(self, call: Call, connection: Connection, request_id: int, left_s: float) -> Exchange:
        """The exchange of a request that has been sent already, by the fast path; its answer is due in `left_s`."""
        assert call.upstream is not None
        exchange = Exchange(call, connection, call.upstream.spec.timeout_s, self._back_channel, self._parked)
        exchange.take_over(request_id, self.params(call, connection), left_s)
        return exchange

    def params(self, call: Call, connection: Connection) -> Params:
        """The call's parameters as the server's era wants them."""
        info = connection.info
        if info.era == call.era:
            return call.params
        able = routing.askable(call) if info.era == "modern" else None
        params = bridge.request_params(call.params, call.era, info.era, info.version, self._client_info, able)
        if info.era == "modern" and call.session is not None:
            params = with_level(params, self.level(call.session))
        return params

    def level(self, session: Session) -> str:
        """What a legacy client's session wants of servers' logs."""
        return self._levels.level_of(session.id)
