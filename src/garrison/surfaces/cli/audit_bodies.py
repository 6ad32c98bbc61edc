"""Bodies of calls for `garrison audit show --bodies`. Whoever can read the home's keys is its administrator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from garrison.kernel.errors import NotFound
from garrison.kernel.home import Home
from garrison.protection.bodies import Body, commitments
from garrison.protection.entries import Recorded
from garrison.surfaces.cli.on_the_record import record_change
from garrison.surfaces.wiring.auditing import body_store


def bodies_of(home: Home, found: Iterable[Recorded]) -> dict[int, dict[str, Any]]:
    """By the entries' numbers: what was asked and answered, decrypted. That somebody looked goes on the record."""
    if not home.bodies.exists():
        raise NotFound("audit.no_bodies", "No bodies of calls are kept here.", "The setting audit.bodies is off.")
    wanted = [(one, side, commitment) for one in found for side, commitment in commitments(one.entry.detail)]
    if wanted:
        detail = {"entries": [one.seq for one, _, _ in wanted][:50]}
        record_change(home, "audit.bodies_read", wanted[0][0].entry.principal, detail)
    store = body_store(home)
    told: dict[int, dict[str, Any]] = {}
    try:
        for one, side, commitment in wanted:
            told.setdefault(one.seq, {})[side] = _told(store.read(commitment))
    finally:
        store.close()
    return told


def _told(body: Body) -> str:
    return body.content if body.state == "kept" else f"({body.state})"
