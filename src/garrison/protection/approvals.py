"""Approvals: calls that wait for somebody else's yes, and what became of them.

A yes is for exactly one call: this principal, this tool as it is defined now, these arguments. It is used once, and
soon ends. Arguments are kept encrypted, and only as long as somebody has to see them. All workers of a fleet share the
file; what one of them writes the others see by `edition`. Every step is on the ledger before it counts.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from garrison.identity.principals import Principal
from garrison.kernel.clock import Clock
from garrison.kernel.errors import Conflict, Denied, Limited, NotFound
from garrison.kernel.ids import Ids
from garrison.kernel.store import connect, writing
from garrison.protection import approval_table as table
from garrison.protection.approval_table import Approval, State
from garrison.protection.entries import Entry
from garrison.protection.sealing import Sealing
from garrison.telemetry.redaction import redactor

ID_CHARS: Final = 12
REASON_CHARS_MAX: Final = 500
KEPT_S: Final = 86_400
"""How long those that are over are listed; the ledger remembers them."""

Record = Callable[[Entry], object]
Verdict = Literal["approve", "deny"]


@dataclass(frozen=True)
class ApprovalTimes:
    """Seconds that a question waits for an answer, and that a yes can be used. Bounds on what waits."""

    asked_s: float = 900.0
    approved_s: float = 300.0
    pending_max: int = 1000
    pending_max_per_principal: int = 20


@dataclass(frozen=True)
class Wish:
    """What somebody wants to do. `definition`: the tool as its server describes it now; `rule`: why it has to ask."""

    principal: Principal
    server: str
    tool: str
    shown: str
    arguments: Mapping[str, Any]
    definition: bytes
    rule: str

    @property
    def digest(self) -> str:
        """Equal for the same call alone, whatever the order of its arguments."""
        whole = [self.principal.id, self.server, self.tool, self.arguments, hashlib.sha256(self.definition).hexdigest()]
        return hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()


class Approvals:
    """The queue. Methods take what the present moment is from the clock; expiry needs nobody to look at it."""

    def __init__(
        self,
        path: Path,
        key: bytes,
        clock: Clock,
        ids: Ids,
        record: Record,
        times: ApprovalTimes = ApprovalTimes(),
    ) -> None:
        """Opens or makes the file at the first question. `key`: at least 32 secret bytes."""
        self._path = path
        self._sealing = Sealing(key, "approvals")
        self._clock = clock
        self._ids = ids
        self._record = record
        self.times = times
        self._opened: sqlite3.Connection | None = None
        self._own_changes = 0

    @property
    def edition(self) -> tuple[int, int]:
        """Another one whenever something was decided or asked, here or in another process."""
        return self._own_changes, int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    # ── who wants to do something ──

    def ask(self, wish: Wish) -> Approval:
        """What there is for exactly this: a yes that can be used, or the question that waits; else a new question.

        Raises `Limited` when too many wait.
        """
        now_ns, digest = self._clock.wall_ns(), wish.digest
        with writing(self._connection):
            found = table.live(self._connection, digest, now_ns)
            if found is not None:
                return found
            self._make_room(wish.principal.id, now_ns)
            asked = self._new(wish, digest, now_ns)
            self._tell("approval.ask", wish.principal.id, asked)
            table.insert(self._connection, asked, self._sealing.seal(_text(wish.arguments), asked.id))
        self._own_changes += 1
        return asked

    def use(self, approval: Approval) -> bool:
        """Take the yes for a call that is about to be made. False if it is used already, or over."""
        with writing(self._connection):
            found = table.find(self._connection, approval.id, self._clock.wall_ns())
            if found is None or found.state != "approved":
                return False
            self._tell("approval.use", found.principal, found)
            table.change(self._connection, replace(found, state="used"), keep=True)
        self._own_changes += 1
        return True

    def give_back(self, approval_id: str) -> None:
        """The call was not made after all, or goes on with another request: its yes may be used again, in its time."""
        with writing(self._connection):
            found = table.find(self._connection, approval_id, self._clock.wall_ns())
            if found is not None and found.state == "used":
                self._tell("approval.give_back", found.principal, found)
                table.change(self._connection, replace(found, state="approved"), keep=True)
        self._own_changes += 1

    # ── who decides ──

    def decide(self, approval_id: str, verdict: Verdict, by: Principal, reason: str = "") -> Approval:
        """Say yes or no. NotFound for what is not there, Conflict for what is decided or over, Denied to the asker."""
        now_ns = self._clock.wall_ns()
        with writing(self._connection):
            found = self._get(approval_id, now_ns)
            if found.principal == by.id:
                raise Denied("approval.own", "nobody approves his own calls", "ask somebody else, with another key")
            if found.state != "pending":
                raise Conflict(
                    "approval.decided", f"{approval_id} is {found.state} already", "it has to be asked again"
                )
            state: State = "approved" if verdict == "approve" else "denied"
            ends_ns = now_ns + int(self.times.approved_s * 1e9) if verdict == "approve" else found.expires_ns
            said = redactor.text(reason)[:REASON_CHARS_MAX]
            decided = replace(found, state=state, decided_by=by.id, decided_ns=now_ns, reason=said, expires_ns=ends_ns)
            self._tell(f"approval.{verdict}", by.id, decided)
            table.change(self._connection, decided, keep=verdict == "approve")
        self._own_changes += 1
        return decided

    def get(self, approval_id: str) -> Approval:
        """Raises `NotFound`."""
        return self._get(approval_id, self._clock.wall_ns())

    def arguments(self, approval_id: str) -> dict[str, Any] | None:
        """What the call would be made with; None when nobody has to see them any more."""
        sealed = table.sealed_arguments(self._connection, approval_id)
        text = self._sealing.open(sealed, approval_id) if sealed else None
        return msgspec.json.decode(text, type=dict[str, Any]) if text is not None else None

    def list(self) -> tuple[Approval, ...]:
        """Newest first; those that are over for a day."""
        return table.all_of(self._connection, self._clock.wall_ns())

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    # ── inside ──

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            opened = connect(self._path)
            opened.execute("PRAGMA synchronous=NORMAL")  # a power cut may take a question: it is asked again
            opened.executescript(table.SCHEMA)
            self._opened = opened
        return self._opened

    def _get(self, approval_id: str, now_ns: int) -> Approval:
        found = table.find(self._connection, approval_id, now_ns)
        if found is None:
            hint = "`garrison approvals list` shows them"
            raise NotFound("approval.unknown", f"there is no approval {approval_id[:64]!r}", hint)
        return found

    def _new(self, wish: Wish, digest: str, now_ns: int) -> Approval:
        return Approval(
            id=self._ids.new()[:ID_CHARS],
            principal=wish.principal.id,
            name=wish.principal.name,
            server=wish.server,
            tool=wish.tool,
            shown=wish.shown,
            digest=digest,
            rule=wish.rule,
            state="pending",
            asked_ns=now_ns,
            expires_ns=now_ns + int(self.times.asked_s * 1e9),
        )

    def _make_room(self, principal: str, now_ns: int) -> None:
        table.forget(self._connection, now_ns, now_ns - KEPT_S * 1_000_000_000)
        waiting = [one.principal for one in table.all_of(self._connection, now_ns) if one.state == "pending"]
        if len(waiting) >= self.times.pending_max or waiting.count(principal) >= self.times.pending_max_per_principal:
            hint = "wait until some of them are decided"
            raise Limited("approvals.too_many", "too many calls wait for approval", hint, 30.0)

    def _tell(self, action: str, principal: str, about: Approval) -> None:
        detail = {"approval": about.id, "asked_by": about.principal, "rule": about.rule, "digest": about.digest}
        if about.reason:
            detail["reason"] = about.reason
        time_ns = self._clock.wall_ns()
        self._record(
            Entry(time_ns, "change", "", principal, action, about.server, about.tool, about.state, detail=detail)
        )


def _text(arguments: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(arguments)
