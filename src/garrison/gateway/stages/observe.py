"""observe: every call is counted and timed, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable

from garrison.gateway.call import Call, Outcome
from garrison.gateway.stage import Stage
from garrison.telemetry import names
from garrison.telemetry.metrics import HistogramCell, Metrics


class Observe(Stage):
    """`monotonic_ns` is the clock that `call.started_ns` was read from."""

    name = "observe"

    def __init__(self, metrics: Metrics, monotonic_ns: Callable[[], int]) -> None:
        labels = (names.METHOD, names.SERVER, names.TOOL, names.ERROR_TYPE)
        about = "Duration of calls, from the request's last byte to the outcome."
        self._durations = metrics.histogram(names.SERVER_OPERATION_DURATION, about, labels)
        self._now = monotonic_ns

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        self.cell(call, outcome.word).observe((self._now() - call.started_ns) / 1e9)
        return outcome

    def cell(self, call: Call, word: str) -> HistogramCell:
        """Where calls like this one, with this outcome, are counted."""
        known = call.principal is not None  # strangers must not fill the label values
        method = call.method if known else ""
        target = call.target
        tool = target.name if target.kind == "tool" and call.passed else ""
        return self._durations.cell(method, target.server, tool, "" if word == "ok" else word)
