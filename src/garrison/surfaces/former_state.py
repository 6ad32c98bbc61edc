"""What was desired and what ran at a moment: the ledger's changes, the stored snapshots and the keys, together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from garrison.identity.key_table import KeyRecord
from garrison.identity.keys import KeyStore
from garrison.kernel.clock import rfc3339
from garrison.kernel.errors import GarrisonError
from garrison.kernel.home import Home
from garrison.protection.history import Standing, standing
from garrison.protection.place import Place
from garrison.protection.reader import Filter
from garrison.protection.search import entries
from garrison.surfaces import desired as documents
from garrison.surfaces.desired import Desired
from garrison.surfaces.ledger_questions import row_of
from garrison.surfaces.revisions import remembered


def state_at(home: Home, ledger: Place, at_ns: int) -> dict[str, Any]:
    """`catalog` says whether the snapshot of that time is still at hand; without it only what ran is known."""
    changes = entries(ledger, wanted=Filter(kind="change", until_ns=at_ns))
    found = standing(one.entry for one in changes)
    wanted = _desired(home, found.version)
    return {
        "at": rfc3339(at_ns),
        "up": found.is_up,
        "snapshot": found.version,
        "by": found.by,
        "since": rfc3339(found.since_ns) if found.since_ns else None,
        "url": found.url if found.is_up else "",
        "catalog": "known" if wanted is not None else "unknown",
        "servers": _servers(found, wanted),
        "roles": sorted(wanted.catalog.roles) if wanted is not None else [],
        "profiles": sorted(wanted.catalog.profiles) if wanted is not None else [],
        "keys": _keys(home, found, at_ns),
    }


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """What is not the same, one row each: what, its name, before and after. Pure."""
    rows = [
        {"what": name, "name": "", "before": before[name], "after": after[name]}
        for name in ("up", "snapshot")
        if before[name] != after[name]
    ]
    for what, fields in (("server", ("state", "spec", "enabled")), ("key", ("prefix", "roles"))):
        rows += _of_rows(what, before[f"{what}s"], after[f"{what}s"], fields)
    for what in ("roles", "profiles"):
        gone, come = set(before[what]) - set(after[what]), set(after[what]) - set(before[what])
        rows += [{"what": what[:-1], "name": name, "before": "there", "after": None} for name in sorted(gone)]
        rows += [{"what": what[:-1], "name": name, "before": None, "after": "there"} for name in sorted(come)]
    return rows


def changes_between(ledger: Place, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """Every change after the one moment and up to the other: who, when, what, why."""
    wanted = Filter(kind="change", since_ns=since_ns + 1, until_ns=until_ns)
    return [row_of(one) for one in entries(ledger, wanted=wanted)]


def _of_rows(
    what: str, before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], fields: Sequence[str]
) -> list[dict[str, Any]]:
    earlier, later = ({row["name"]: {f: row[f] for f in fields} for row in rows} for rows in (before, after))
    return [
        {"what": what, "name": name, "before": earlier.get(name), "after": later.get(name)}
        for name in sorted({*earlier, *later})
        if earlier.get(name) != later.get(name)
    ]


def _desired(home: Home, version: str) -> Desired | None:
    try:
        return documents.decode(remembered(home, version).read_bytes()) if version else None
    except (OSError, GarrisonError):
        return None


def _servers(found: Standing, wanted: Desired | None) -> list[dict[str, Any]]:
    """Those that were desired, and whatever else ran."""
    specs = wanted.servers if wanted is not None else {}
    others = [name for name, seen in found.servers.items() if name not in specs and seen.state != "stopped"]
    names = [*specs, *others]
    return [_server(name, found, wanted) for name in names]


def _server(name: str, found: Standing, wanted: Desired | None) -> dict[str, Any]:
    seen, spec = found.servers.get(name), wanted.servers.get(name) if wanted is not None else None
    waiting = found.is_up and spec is not None and spec.enabled and spec.start == "eager"
    return {
        "name": name,
        "state": seen.state if seen is not None else "starting" if waiting else "stopped",
        "spec": seen.spec if seen is not None and seen.spec else spec.revision if spec is not None else "",
        "enabled": spec.enabled if spec is not None else None,
        "since": rfc3339(seen.since_ns) if seen is not None else None,
        "why": seen.why if seen is not None else "",
    }


def _keys(home: Home, found: Standing, at_ns: int) -> list[dict[str, Any]]:
    """Those that worked then; the store keeps what was revoked."""
    if not home.keys.exists():
        return []
    with closing(KeyStore(home.keys)) as store:
        return [_key(record, found) for record in store.list() if _was_live(record, at_ns)]


def _was_live(record: KeyRecord, at_ns: int) -> bool:
    ends = [end for end in (record.revoked_ns, record.expires_ns) if end]
    return record.created_ns <= at_ns and all(at_ns < end for end in ends)


def _key(record: KeyRecord, found: Standing) -> dict[str, Any]:
    return {
        "name": record.name,
        "prefix": record.prefix,
        "principal": record.principal,
        "roles": list(record.roles),
        "by": found.makers.get(record.name, ""),
        "created": rfc3339(record.created_ns),
    }
