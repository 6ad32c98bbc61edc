"""Time windows, as grants and policies name them: `mon-fri 08:00-18:00 Europe/Berlin`. Pure: the time is given.

Days may be missing (every day), so may the zone (UTC). A window that ends before it begins goes on past midnight, and
belongs to the day on which it begins. What clocks show in the zone counts, in summer and winter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from garrison.kernel.errors import Invalid

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTE_NS: Final = 60 * 1_000_000_000
_DAY_MINUTES: Final = 24 * 60
_TEXT = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:[-,][a-z]{3})*)\s+)?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?:\s+(?P<zone>[A-Za-z0-9_+/-]+))?"
)


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of the day, the end excluded; `days` count from Monday, 0."""

    days: frozenset[int]
    start: int
    end: int
    zone: ZoneInfo

    def holds(self, now_ns: int) -> bool:
        """Is it open at this moment?"""
        there = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).astimezone(self.zone)
        minute, today = there.hour * 60 + there.minute, there.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        yesterday = (today - 1) % 7
        return (today in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)

    def changes_ns(self, now_ns: int) -> int:
        """Until when `holds` gives the same, at least: the next time at which a clock there shows start or end."""
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
        there = now.astimezone(self.zone)
        found = [
            int(moment.timestamp()) * 1_000_000_000
            for day in (0, 1)
            for minute in (self.start, self.end)
            if (moment := _moment(there + timedelta(days=day), minute)) > now
        ]
        # Where clocks are put forward or back, the day's minutes come earlier or later: look again within the hour.
        return min([*found, now_ns + 60 * _MINUTE_NS])


def parse_window(text: str) -> Window:
    """Raises `Invalid` for a text that is no window."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise _invalid(text, "write it like `mon-fri 08:00-18:00 Europe/Berlin`")
    start, end = _minute(found["start"]), _minute(found["end"])
    if start is None or end is None or start in (end, _DAY_MINUTES):
        raise _invalid(text, "times go from 00:00 to 24:00, and start and end differ")
    try:
        zone = ZoneInfo(found["zone"] or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _invalid(text, f"there is no time zone {found['zone']}") from None
    return Window(_days(found["days"], text), start, end % _DAY_MINUTES if end < start else end, zone)


def _minute(text: str) -> int | None:
    hours, minutes = int(text[:2]), int(text[3:])
    total = hours * 60 + minutes
    return total if minutes < 60 and total <= _DAY_MINUTES else None


def _days(text: str | None, whole: str) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise _invalid(whole, "days are " + ", ".join(DAYS))
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(found)


def _moment(day: datetime, minute: int) -> datetime:
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if minute == _DAY_MINUTES:
        return midnight + timedelta(days=1)
    return midnight.replace(hour=minute // 60, minute=minute % 60)


def _invalid(text: str, hint: str) -> Invalid:
    return Invalid("policy.bad_window", f"{text[:80]!r} is no time window", hint)
