"""What limits have counted, on disk: quotas, so that they outlive a restart, and use by the hour, for reports.

Every process of a fleet adds its part and reads the sum, so that quotas are the fleet's and not one worker's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Literal, NamedTuple

from garrison.kernel import store
from garrison.kernel.errors import Unavailable
from garrison.policy.limits import Saved, Used

USAGE_KEPT_DAYS: Final = 40
QUOTAS_KEPT_DAYS: Final = 70
OVERLAP_NS: Final = 5_000_000_000
"""How much earlier than our last look a change of another process may carry its time."""

By = Literal["principal", "tool", "server"]

_HOUR_NS: Final = 3_600_000_000_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS quotas (
    meter TEXT NOT NULL,           -- rule and subject
    metric TEXT NOT NULL,
    period TEXT NOT NULL,
    starts_ns INTEGER NOT NULL,    -- of the day or month that `used` is of
    used REAL NOT NULL,
    changed_ns INTEGER NOT NULL,
    PRIMARY KEY (meter, metric, period)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quotas_changed ON quotas (changed_ns);
CREATE TABLE IF NOT EXISTS used (
    hour_ns INTEGER NOT NULL,
    principal TEXT NOT NULL,
    name TEXT NOT NULL,
    server TEXT NOT NULL,
    tool TEXT NOT NULL,            -- empty for prompts and resources
    calls INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    result_tokens INTEGER NOT NULL,
    PRIMARY KEY (hour_ns, principal, server, tool)
) STRICT, WITHOUT ROWID;
"""
_ADD_QUOTA: Final = """
INSERT INTO quotas (meter, metric, period, starts_ns, used, changed_ns) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    used = CASE WHEN excluded.starts_ns = starts_ns THEN used + excluded.used
                WHEN excluded.starts_ns > starts_ns THEN excluded.used ELSE used END,
    starts_ns = max(starts_ns, excluded.starts_ns),
    changed_ns = excluded.changed_ns
"""
_ADD_USED: Final = """
INSERT INTO used VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    name = excluded.name, calls = calls + excluded.calls, refused = refused + excluded.refused,
    bytes_in = bytes_in + excluded.bytes_in, bytes_out = bytes_out + excluded.bytes_out,
    result_tokens = result_tokens + excluded.result_tokens
"""
_SELECT: Final = "SELECT meter, metric, period, starts_ns, used FROM quotas"
_COLUMNS: Final[dict[By, str]] = {"principal": "name", "tool": "server || '/' || tool", "server": "server"}


class Row(NamedTuple):
    """What was used, summed up. `what`: a principal's name, `server/tool`, or a server."""

    what: str
    calls: int
    refused: int
    bytes_in: int
    bytes_out: int
    result_tokens: int


class BudgetStore:
    """One process's way to the file; `add` may run in another thread than `recall`."""

    def __init__(self, path: Path) -> None:
        """Raises `Unavailable` when the file cannot be used."""
        try:
            self._writer = store.connect(path)
            self._writer.executescript(_SCHEMA)
            self._reader = store.connect_read_only(path)
        except (OSError, sqlite3.Error) as error:
            message = f"{path} cannot be used: {error}"
            raise Unavailable("limits.store", message, "it holds what quotas have counted") from error
        self._seen_ns = 0

    def recall(self, key: str) -> list[Saved]:
        """What is written down of one meter."""
        return [Saved(*row) for row in self._reader.execute(f"{_SELECT} WHERE meter = ?", (key,))]

    def add(self, quotas: Sequence[Saved], used: Iterable[Used], now_ns: int) -> list[Saved]:
        """Add what was used since the last time; returns the sums of all that has changed since, by whomever.

        `used` of what is given is the difference. Raises sqlite3.Error; then nothing was added.
        """
        hour_ns = now_ns - now_ns % _HOUR_NS
        with store.writing(self._writer):
            self._writer.executemany(_ADD_QUOTA, [(*one, now_ns) for one in quotas])
            self._writer.executemany(_ADD_USED, [(hour_ns, *_values(one)) for one in used])
            since_ns, self._seen_ns = self._seen_ns - OVERLAP_NS, now_ns
            rows = self._writer.execute(f"{_SELECT} WHERE changed_ns >= ?", (since_ns,)).fetchall()
        return [Saved(*row) for row in rows]

    def prune(self, now_ns: int) -> None:
        """What nobody asks for any more goes."""
        with store.writing(self._writer):
            self._writer.execute("DELETE FROM used WHERE hour_ns < ?", (now_ns - USAGE_KEPT_DAYS * 24 * _HOUR_NS,))
            self._writer.execute("DELETE FROM quotas WHERE starts_ns < ?", (now_ns - QUOTAS_KEPT_DAYS * 24 * _HOUR_NS,))

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


def report(path: Path, by: By, since_ns: int) -> list[Row]:
    """What was used since then, to the hour; the most used first. Empty when nothing was ever counted."""
    if not path.exists():
        return []
    sums = "sum(calls), sum(refused), sum(bytes_in), sum(bytes_out), sum(result_tokens)"
    grouped = f"SELECT {_COLUMNS[by]} AS what, {sums} FROM used WHERE hour_ns >= ? GROUP BY what ORDER BY 2 DESC, 1"  # noqa: S608  (a column of the table above)
    with closing(store.connect_read_only(path)) as reader:
        return list(_rows(reader, grouped, since_ns - since_ns % _HOUR_NS))


def _rows(reader: sqlite3.Connection, query: str, since_ns: int) -> Iterator[Row]:
    try:
        yield from (Row(*row) for row in reader.execute(query, (since_ns,)))
    except sqlite3.Error as error:
        raise Unavailable("limits.store", f"what was used cannot be read: {error}", "see `garrison logs`") from error


def _values(one: Used) -> tuple[object, ...]:
    counted = (one.calls, one.refused, one.bytes_in, one.bytes_out, one.result_tokens)
    return (one.principal, one.name, one.server, one.tool, *counted)
