"""audit: every call and refusal is on the record, or it does not happen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from msgspec import to_builtins

from garrison.gateway.call import Call, Outcome
from garrison.gateway.stage import Stage, Step
from garrison.kernel.clock import Clock
from garrison.kernel.errors import GarrisonError, Unavailable
from garrison.protection.bodies import BodyKeeper, Side, Whose
from garrison.protection.entries import Entry, EntryKind, Fixed, Lines
from garrison.protection.ledger import Ledger
from garrison.protocol import methods
from garrison.protocol.messages import decode_any
from garrison.telemetry.redaction import redactor

_log = logging.getLogger(__name__)

SCREENED_MAX = 10
SCREENED_CHARS_MAX = 200
_SILENT = frozenset({methods.PING, methods.INITIALIZED, methods.PROGRESS, "response"})
"""Signs of life and courtesies, without any effect: not worth a record unless they are refused."""


class Audit(Stage):
    """Outside authenticate, so that refusals are on the record."""

    name = "audit"
    gives = frozenset({"on the record"})

    def __init__(
        self, ledger: Ledger, clock: Clock, monotonic_ns: Callable[[], int], bodies: BodyKeeper | None = None
    ) -> None:
        """`bodies`: keeps what was answered; None where nothing is kept."""
        self._bodies = bodies
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
        kept = self._kept(call, outcome, time_ns) if self._bodies is not None else {}
        if outcome.failure is not None or call.screened or kept:
            detail = {**_detail(call, outcome), **kept}
            self._ledger.append(_entry(call, kind, time_ns, outcome.word, duration_us, detail))
        else:
            line = self.fixed(call).line(time_ns, "call.outcome", call.id, outcome.word, duration_us)
            self._ledger.append_line(line)
        return outcome

    def _kept(self, call: Call, outcome: Outcome, time_ns: int) -> dict[str, object]:
        """What was done cannot be undone because its answer could not be kept; but that is on the record."""
        assert self._bodies is not None
        if outcome.failure is not None or "response" not in self._bodies.sides(call.target.server):
            return {}
        body = decode_any(outcome.result) if outcome.result is not None else to_builtins(outcome.error)
        try:
            return {"response": self._bodies.keep(_whose(call, "response", time_ns), body)}
        except GarrisonError as problem:
            _log.error("an answer could not be kept", extra={"call": call.id, "why": problem.message})
            return {"response": {"lost": problem.code}}

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

    def __init__(self, ledger: Ledger, clock: Clock, *, durable: bool, bodies: BodyKeeper | None = None) -> None:
        """`bodies`: keeps what is asked; a call whose request cannot be kept is not made."""
        self._bodies = bodies
        self._ledger = ledger
        self._clock = clock
        self._durable = durable
        self._lines = Lines(redactor)

    def enter(self, call: Call) -> Step:
        if call.answer is not None:
            return None
        time_ns = self._clock.wall_ns()
        detail = self._kept(call, self._bodies, time_ns) if self._bodies is not None else None
        if self._durable:
            return self._recorded(_entry(call, "call.intent", time_ns, "", 0, detail))
        if detail is not None:
            self._ledger.append(_entry(call, "call.intent", time_ns, "", 0, detail))
            return None
        self._ledger.append_line(self.fixed(call).line(time_ns, "call.intent", call.id, "", 0))
        return None

    def fixed(self, call: Call) -> Fixed:
        """What the intents of calls like this one have in common."""
        key = (_who(call), call.method, call.target.server, call.target.name)
        return self._lines.of(partial(_entry, call, "call.intent", 0, "", 0, None), key)

    def _kept(self, call: Call, bodies: BodyKeeper, time_ns: int) -> dict[str, object] | None:
        call.bodies = bodies.sides(call.target.server)
        if "request" not in call.bodies:
            return None
        body = call.arguments if call.arguments is not None else {n: decode_any(v) for n, v in call.params.items()}
        return {"request": bodies.keep(_whose(call, "request", time_ns), body)}

    async def _recorded(self, entry: Entry) -> None:
        await self._ledger.append_durable(entry)


def _who(call: Call) -> str:
    return call.principal.id if call.principal is not None else ""


def _whose(call: Call, side: Side, time_ns: int) -> Whose:
    return Whose(call.id, side, _who(call), call.target.server, time_ns)


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


def _detail(call: Call, outcome: Outcome) -> dict[str, object]:
    """Who and from where, and why when it was refused; never arguments or results."""
    found: dict[str, object] = {"client": call.client_name, "from": call.request.client, "era": call.era}
    if outcome.failure is not None:
        found["why"] = outcome.failure.message
    if call.screened:
        found["screened"] = [
            f"{one.code} {one.action} {one.place}"[:SCREENED_CHARS_MAX] for one in call.screened[:SCREENED_MAX]
        ]
    return found
