"""Moments as people write them: `2h` ago, or a date and time. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from garrison.kernel.errors import Invalid

_SPAN = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_END_S = 2**63 // 1_000_000_000
"""The year 2262, where nanoseconds end."""


def moment_ns(text: str, now_ns: int) -> int:
    """Nanoseconds since 1970-01-01 UTC. `90s`, `45m`, `2h`, `7d`, `3w`: so long ago; else ISO 8601, in UTC where it
    does not say otherwise. Raises `Invalid`."""
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return max(0, now_ns - int(span[1]) * _UNITS_S[span[2]] * 1_000_000_000)
    try:
        found = datetime.fromisoformat(text.strip())
        at = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        whole = int(at.replace(microsecond=0).timestamp())
        if not 0 <= whole < _END_S:
            raise ValueError(text)
    except (ValueError, OverflowError) as error:
        hint = "2h, 7d, 2026-11-22, or 2026-11-22T08:30:00Z"
        raise Invalid("moment.invalid", f"{text[:64]!r} is no moment", hint) from error
    return whole * 1_000_000_000 + at.microsecond * 1000
