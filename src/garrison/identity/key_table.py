"""The table of API keys: one row per secret; a rotated key has several for a while."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from garrison.kernel.store import writing

SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    prefix TEXT PRIMARY KEY,
    principal TEXT NOT NULL,       -- id of the principal, kept through rotation
    name TEXT NOT NULL,
    roles TEXT NOT NULL,           -- JSON array
    digest BLOB NOT NULL,          -- SHA-256 of the whole key
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER,            -- NULL: never
    revoked_ns INTEGER,            -- NULL: not revoked
    used_ns INTEGER,               -- NULL: never, or not written down yet
    groups TEXT NOT NULL DEFAULT '[]',  -- JSON array
    scopes TEXT                    -- JSON array of patterns that bound the key; NULL: nothing bounds it
) STRICT
"""
_ADDED = {
    "groups": "ALTER TABLE keys ADD COLUMN groups TEXT NOT NULL DEFAULT '[]'",
    "scopes": "ALTER TABLE keys ADD COLUMN scopes TEXT",
}
"""Columns that tables of earlier releases lack. Releases that know them not leave them as they are."""
_SELECT = """
SELECT prefix, principal, name, roles, digest, created_ns, expires_ns, revoked_ns, used_ns, groups, scopes
FROM keys ORDER BY created_ns, prefix
"""
_INSERT = """
INSERT INTO keys (prefix, principal, name, roles, digest, created_ns, expires_ns, revoked_ns, used_ns, groups, scopes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_Row = tuple[str, str, str, str, bytes, int, int | None, int | None, int | None, str, str | None]


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key; never the key. Times are nanoseconds since 1970-01-01 UTC."""

    prefix: str
    principal: str
    name: str
    roles: tuple[str, ...]
    created_ns: int
    expires_ns: int | None = None
    revoked_ns: int | None = None
    used_ns: int | None = None
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    """`SERVER` or `SERVER/TOOL`, as patterns: it may do nothing beyond these, whatever its roles say."""

    def is_live(self, now_ns: int) -> bool:
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)


def prepare(connection: sqlite3.Connection) -> None:
    """Make the table, or bring one of an earlier release up to date. Several processes may do so at once."""
    connection.execute(SCHEMA)
    if _missing(connection):
        with writing(connection):
            for column in _missing(connection):
                connection.execute(_ADDED[column])


def _missing(connection: sqlite3.Connection) -> list[str]:
    present = {row[1] for row in connection.execute("PRAGMA table_info(keys)")}
    return [column for column in _ADDED if column not in present]


def load(connection: sqlite3.Connection) -> list[tuple[KeyRecord, bytes]]:
    """All records, oldest first, each with its digest."""
    return [_record(row) for row in connection.execute(_SELECT)]


def insert(connection: sqlite3.Connection, record: KeyRecord, digest: bytes) -> None:
    values = (
        record.prefix,
        record.principal,
        record.name,
        msgspec.json.encode(record.roles).decode(),
        digest,
        record.created_ns,
        record.expires_ns,
        record.revoked_ns,
        record.used_ns,
        msgspec.json.encode(record.groups).decode(),
        None if record.scopes is None else msgspec.json.encode(record.scopes).decode(),
    )
    connection.execute(_INSERT, values)


def mark_revoked(connection: sqlite3.Connection, prefixes: Iterable[str], now_ns: int) -> None:
    connection.executemany("UPDATE keys SET revoked_ns = ? WHERE prefix = ?", [(now_ns, one) for one in prefixes])


def expire_at(connection: sqlite3.Connection, prefixes: Iterable[str], when_ns: int) -> None:
    connection.executemany("UPDATE keys SET expires_ns = ? WHERE prefix = ?", [(when_ns, one) for one in prefixes])


def mark_used(connection: sqlite3.Connection, used: Iterable[tuple[str, int]]) -> None:
    """(prefix, time) of the newest use; an older time never replaces a newer one."""
    statement = "UPDATE keys SET used_ns = max(coalesce(used_ns, 0), ?) WHERE prefix = ?"
    connection.executemany(statement, [(when, prefix) for prefix, when in used])


def _record(row: _Row) -> tuple[KeyRecord, bytes]:
    prefix, principal, name, roles, digest, created, expires, revoked, used, groups, scopes = row
    record = KeyRecord(
        prefix=prefix,
        principal=principal,
        name=name,
        roles=msgspec.json.decode(roles, type=tuple[str, ...]),
        created_ns=created,
        expires_ns=expires,
        revoked_ns=revoked,
        used_ns=used,
        groups=msgspec.json.decode(groups, type=tuple[str, ...]),
        scopes=None if scopes is None else msgspec.json.decode(scopes, type=tuple[str, ...]),
    )
    return record, digest
