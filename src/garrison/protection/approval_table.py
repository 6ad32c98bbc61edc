"""The table of approvals: one row per question."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import Literal

State = Literal["pending", "approved", "denied", "used", "expired"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS approvals (
    id TEXT PRIMARY KEY,
    principal TEXT NOT NULL,       -- who asks
    name TEXT NOT NULL,
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    shown TEXT NOT NULL,           -- the tool's name as the caller knows it
    digest TEXT NOT NULL,          -- of the very call
    rule TEXT NOT NULL,            -- why it has to be asked
    state TEXT NOT NULL,           -- pending, approved, denied, used
    asked_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,   -- pending: unanswered by then; approved: unused
    decided_by TEXT NOT NULL,
    decided_ns INTEGER NOT NULL,
    reason TEXT NOT NULL,
    arguments BLOB                 -- sealed; NULL when nobody has to see them any more
) STRICT;
CREATE INDEX IF NOT EXISTS approvals_by_digest ON approvals (digest);
"""
_FIELDS = (
    "id, principal, name, server, tool, shown, digest, rule, state, "
    "asked_ns, expires_ns, decided_by, decided_ns, reason"
)
_LIVE = ("pending", "approved")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One question and its answer, without the arguments. Times are nanoseconds since 1970-01-01 UTC, 0: not yet."""

    id: str
    principal: str
    name: str
    server: str
    tool: str
    shown: str
    digest: str
    rule: str
    state: State
    asked_ns: int
    expires_ns: int
    decided_by: str = ""
    decided_ns: int = 0
    reason: str = ""


def insert(connection: sqlite3.Connection, one: Approval, arguments: bytes) -> None:
    values = (*(getattr(one, name.strip()) for name in _FIELDS.split(",")), arguments)
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO approvals ({_FIELDS}, arguments) VALUES ({marks})", values)  # noqa: S608  our names


def find(connection: sqlite3.Connection, approval_id: str, now_ns: int) -> Approval | None:
    query = f"SELECT {_FIELDS} FROM approvals WHERE id = ?"  # noqa: S608  our names
    row = connection.execute(query, (approval_id,)).fetchone()
    return _approval(row, now_ns) if row is not None else None


def live(connection: sqlite3.Connection, digest: str, now_ns: int) -> Approval | None:
    """A yes that can be used comes before a question that waits."""
    query = f"SELECT {_FIELDS} FROM approvals WHERE digest = ? AND expires_ns > ? ORDER BY state"  # noqa: S608
    found = [_approval(row, now_ns) for row in connection.execute(query, (digest, now_ns))]
    return next((one for one in found if one.state in _LIVE), None)


def all_of(connection: sqlite3.Connection, now_ns: int) -> tuple[Approval, ...]:
    query = f"SELECT {_FIELDS} FROM approvals ORDER BY asked_ns DESC, id"  # noqa: S608  our names
    return tuple(_approval(row, now_ns) for row in connection.execute(query))


def change(connection: sqlite3.Connection, one: Approval, *, keep: bool) -> None:
    """`keep`: whether the arguments stay."""
    statement = (
        "UPDATE approvals SET state = ?, decided_by = ?, decided_ns = ?, reason = ?, expires_ns = ? WHERE id = ?"
    )
    values = (one.state, one.decided_by, one.decided_ns, one.reason, one.expires_ns, one.id)
    connection.execute(statement, values)
    if not keep:
        connection.execute("UPDATE approvals SET arguments = NULL WHERE id = ?", (one.id,))


def sealed_arguments(connection: sqlite3.Connection, approval_id: str) -> bytes | None:
    row = connection.execute("SELECT arguments FROM approvals WHERE id = ?", (approval_id,)).fetchone()
    return row[0] if row is not None else None


def forget(connection: sqlite3.Connection, now_ns: int, before_ns: int) -> None:
    """The arguments of what is over, and after a while the rest of it."""
    connection.execute("UPDATE approvals SET arguments = NULL WHERE expires_ns <= ? AND arguments NOT NULL", (now_ns,))
    connection.execute("DELETE FROM approvals WHERE expires_ns <= ?", (before_ns,))


def _approval(
    row: tuple[str, str, str, str, str, str, str, str, State, int, int, str, int, str], now_ns: int
) -> Approval:
    names = [name.strip() for name in _FIELDS.split(",")]
    found = Approval(**dict(zip(names, row, strict=True)))  # type: ignore[arg-type]
    return replace(found, state="expired") if found.state in _LIVE and found.expires_ns <= now_ns else found
