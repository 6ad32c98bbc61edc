"""What the ledger records of itself: changes with the principal `garrison` and an action that begins with `ledger.`.

`checking.py` reads them again: a ledger that was once found damaged says so for ever, and a body may only be missing
where a pruning is on the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from garrison.protection.entries import GAP, Entry, encode
from garrison.telemetry.redaction import redactor

OWN: Final = b'"ledger.'
"""In the body of every entry of ours (and perhaps of others): to look for before anything is decoded."""
TAKEN_OVER: Final = "ledger.taken_over"
"""From the former format. detail: `entries` and `chain`, its last hash; `first_bad`, `reason` if it did not."""
KEY: Final = "ledger.key"
"""Another key signs from here on. detail: `former` and `new`, public keys; outcome `rotated`, or `lost`: the former one
could not sign for it."""
PRUNED: Final = "ledger.pruned"
"""Bodies were taken away. detail: `runs`, pairs of the first and last number; all of them have smaller numbers."""
RUNS_MAX: Final = 60
"""In one record, so that it is never cut."""


def gap(time_ns: int, detail: Mapping[str, object]) -> bytes:
    """The end was found missing."""
    return _change(time_ns, GAP, "found", detail)


def taken_over(time_ns: int, entries: int, chain: bytes, first_bad: int | None, reason: str) -> bytes:
    detail: dict[str, object] = {"entries": entries, "chain": chain.hex()}
    if first_bad is None:
        return _change(time_ns, TAKEN_OVER, "ok", detail)
    return _change(time_ns, TAKEN_OVER, "broken", {**detail, "first_bad": first_bad, "reason": reason})


def key_changed(time_ns: int, former: str, new: str, *, lost: bool, principal: str = "garrison") -> bytes:
    return _change(time_ns, KEY, "lost" if lost else "rotated", {"former": former, "new": new}, principal)


def pruned(time_ns: int, runs: Iterable[tuple[int, int]], principal: str, why: str) -> list[bytes]:
    """As many records as it takes."""
    found = list(runs)
    parts = (found[at : at + RUNS_MAX] for at in range(0, len(found), RUNS_MAX))
    return [
        _change(time_ns, PRUNED, "ok", {"runs": [list(run) for run in part], "why": why[:200]}, principal)
        for part in parts
    ]


def _change(
    time_ns: int, action: str, outcome: str, detail: Mapping[str, object], principal: str = "garrison"
) -> bytes:
    return encode(
        Entry(time_ns, "change", principal=principal, action=action, outcome=outcome, detail=detail), redactor
    )
