"""audit: every call and refusal is on the record, or it does not happen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from garrison.gateway.call import Call, Outcome
from garrison.gateway.stage import Stage, Step
from garrison.kernel.clock import Clock
from garrison.kernel.errors import Unavailable
from garrison.protection.entries import Entry, EntryKind, Fixed, Lines
from garrison.protection.ledger import Ledger
from garrison.protocol import methods
from garrison.telemetry.redaction import redactor

_SILENT = frozenset({methods.PING, methods.INITIALIZED, methods.PROGRESS, "response"})
"""Signs of life and courtesies, without any effect: not worth a record unless they are refused."""


class Audit(Stage):
    """Outside authenticate, so that refusals are on the record."""

    name = "audit"
    gives = frozenset({"on the record"})

    def __init__(self, ledger: Ledger, clock: Clock, monotonic_ns: Callable[[], int]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._now = monotonic_ns
        self._lines = Lines(redactor)

    def enter(self, call: Call) -> Step:
        if self._ledger.problem:
            message = f"the ledger cannot be written, so nothing may happen: {self._ledger.problem}"
            raise Unavailable("ledger.unwritable", message, "is the disk full?")
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        refused = outcome.failure is not None and not call.passed
        if call.method in _SILENT and not refused:
            return outcome
        kind: EntryKind = "refusal" if refused else "call.outcome"
        duration_us = (self._now() - call.started_ns) // 1000
        time_ns = self._clock.wall_ns()
        if outcome.failure is not None:
            self._ledger.append(_entry(call, kind, time_ns, outcome.word, duration_us, _detail(call, outcome)))
        else:
            line = self.fixed(call).line(time_ns, "call.outcome", call.id, outcome.word, duration_us)
            self._ledger.append_line(line)
        return outcome

    def fixed(self, call: Call) -> Fixed:
        """What the outcomes of calls like this one have in common."""
        target = call.target
        key = (_who(call), call.method, target.server, target.name, call.client_name, call.request.client, call.era)
        return self._lines.of(partial(_whole, call), key)


class Intent(Stage):
    """What is about to be asked of a server is recorded before it is asked.

    `durable` waits until the record is on disk (`strict`); otherwise it is written within the ledger's window.
    """

    name = "intent"
    needs = frozenset({"on the record", "target", "arguments", "decision"})
    gives = frozenset({"recorded"})

    def __init__(self, ledger: Ledger, clock: Clock, *, durable: bool) -> None:
        self._ledger = ledger
        self._clock = clock
        self._durable = durable
        self._lines = Lines(redactor)

    def enter(self, call: Call) -> Step:
        if call.answer is not None:
            return None
        time_ns = self._clock.wall_ns()
        if self._durable:
            return self._recorded(_entry(call, "call.intent", time_ns, "", 0, None))
        self._ledger.append_line(self.fixed(call).line(time_ns, "call.intent", call.id, "", 0))
        return None

    def fixed(self, call: Call) -> Fixed:
        """What the intents of calls like this one have in common."""
        key = (_who(call), call.method, call.target.server, call.target.name)
        return self._lines.of(partial(_entry, call, "call.intent", 0, "", 0, None), key)

    async def _recorded(self, entry: Entry) -> None:
        await self._ledger.append_durable(entry)


def _who(call: Call) -> str:
    return call.principal.id if call.principal is not None else ""


def _whole(call: Call) -> Entry:
    """An outcome's entry; what varies is filled in elsewhere."""
    return _entry(call, "call.outcome", 0, "", 0, _detail(call, Outcome()))


def _entry(
    call: Call, kind: EntryKind, time_ns: int, outcome: str, duration_us: int, detail: dict[str, object] | None
) -> Entry:
    return Entry(
        time_ns=time_ns,
        kind=kind,
        call=call.id,
        principal=_who(call),
        action=call.method,
        server=call.target.server,
        target=call.target.name,
        outcome=outcome,
        duration_us=duration_us,
        detail=detail,
    )


def _detail(call: Call, outcome: Outcome) -> dict[str, object] | None:
    """Who and from where, and why when it was refused; never arguments or results."""
    found: dict[str, object] = {"client": call.client_name, "from": call.request.client, "era": call.era}
    if outcome.failure is not None:
        found["why"] = outcome.failure.message
    return found
