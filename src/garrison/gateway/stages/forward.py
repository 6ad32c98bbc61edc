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
from garrison.gateway.stage import Stage, Step
from garrison.gateway.translation import Translation
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics


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
        connection = call.connection or call.upstream.live()
        info = connection.info
        params = call.params
        if info.era != call.era:
            able = routing.askable(call) if info.era == "modern" else None
            params = bridge.request_params(params, call.era, info.era, info.version, self._client_info, able)
            if info.era == "modern" and call.session is not None:
                params = with_level(params, self._levels.level_of(call.session.id))
        call.sent_ns = self._now()
        exchange = Exchange(call, connection, call.upstream.spec.timeout_s, self._back_channel, self._parked)
        exchange.send(params)
        return PENDING

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        self._in_flight.remove(call)
        if call.sent_ns:
            word = outcome.word
            cell = self._durations.cell(call.method, call.target.server, "" if word == "ok" else word)
            cell.observe((self._now() - call.sent_ns) / 1e9)
        self._back_channel.forget(call)
        return outcome
