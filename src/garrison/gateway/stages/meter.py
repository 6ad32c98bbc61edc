"""meter: what the limits of garrison.yaml count a call by, before and after it."""

from __future__ import annotations

import math
from collections.abc import Awaitable

from garrison.gateway.call import Call, Outcome
from garrison.gateway.metering import Concern, Metering
from garrison.gateway.passage import Passage
from garrison.gateway.refusals import Busy
from garrison.gateway.stage import Stage, Step
from garrison.kernel.errors import Limited
from garrison.policy.limits import Meter, Refusal

NEVER_S = 31_536_000.0
"""A year: for what no rest helps against, where a number of seconds is due."""


class Meters(Stage):
    name = "meter"
    needs = frozenset({"principal", "target", "decision"})

    def __init__(self, metering: Metering) -> None:
        self._metering = metering

    def enter(self, call: Call) -> Step:
        target, principal = call.target, call.principal
        if self._metering.is_idle or not target.name or principal is None or call.answer is not None:
            return None
        concern = self._metering.concern(principal, target.kind, target.server, target.name)
        if concern is None:
            return None
        short = self._metering.short(concern)
        if short:
            return self._drawn(call, concern, short)
        self._count(call, concern)
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        concern = call.concern
        if concern is not None:
            call.concern = None
            self._metering.leave(concern, _size(call, outcome))
        return outcome

    def _drawn(self, call: Call, concern: Concern, short: list[Meter]) -> Awaitable[Outcome | None]:
        """What other gateways count too is asked for first."""
        drawing = self._metering.drawing
        assert drawing is not None

        async def draw() -> None:
            waiting = short
            while waiting and not call.finished:
                await drawing.draw(waiting)
                waiting = self._metering.short(concern)
            if not call.finished:
                self._count(call, concern)

        return draw()

    def _count(self, call: Call, concern: Concern) -> None:
        size = len(call.request.body)
        found = self._metering.refusal(concern, size)
        if found is not None:
            self._metering.refused(concern, found)
            raise _error(found)
        self._metering.enter(concern, size)
        call.concern = concern


def _error(refusal: Refusal) -> Limited | Busy:
    if refusal.code == "limit.store_away":
        return Busy(refusal.code, refusal.message, refusal.hint)
    wait_s = NEVER_S if refusal.wait_s == math.inf else refusal.wait_s
    return Limited(refusal.code, refusal.message, refusal.hint, wait_s)


def _size(call: Call, outcome: Outcome) -> int:
    if isinstance(call.sink, Passage):
        return call.sink.sent_bytes
    return len(memoryview(outcome.result)) if outcome.result is not None else 0
