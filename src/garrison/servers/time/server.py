"""The time server: its options and its tools. Zones are those of the IANA database."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.errors import Invalid, NotFound, Unavailable
from garrison.servers.toolkit.app import App
from garrison.servers.toolkit.tool import READS

Zone = Annotated[str, Meta(description="IANA name, like Europe/Berlin; empty: the server's default.", max_length=100)]
Moment = Annotated[
    str,
    Meta(
        description="ISO 8601, like 2026-03-29T02:30 or 2026-03-29T00:30:00Z; a time alone means today.", max_length=64
    ),
]
_UNKNOWN_HINT: Final = "Ask list_time_zones for names."


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the time server answers when nobody names a zone."""

    zone: Annotated[str, Meta(description="Default time zone, an IANA name.")] = "UTC"


class ZonedTime(msgspec.Struct, frozen=True, kw_only=True):
    """One moment as a clock on the wall of its zone shows it."""

    zone: str
    time: str
    """ISO 8601 with offset."""
    weekday: str
    abbreviation: str
    utc_offset_s: int
    is_dst: bool
    unix_s: float


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    source: ZonedTime
    target: ZonedTime
    difference_s: int
    """How far the target's clock is ahead of the source's."""
    note: str
    """Says so when the given wall time does not exist or occurs twice in its zone."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float
    """From `start` to `end`; negative when `end` is earlier."""
    days: int
    hours: int
    minutes: int
    rest_s: float
    text: str


class ZoneList(msgspec.Struct, frozen=True, kw_only=True):
    zones: list[str]
    total: int
    """How many match, shown or not."""


class Times:
    def __init__(self, default_zone: str, clock: Clock) -> None:
        self._default = default_zone
        self._clock = clock
        self._zone("")  # an unknown default is found at the start, not at the first call

    def get_current_time(self, zone: Zone = "") -> ZonedTime:
        """The time now in a zone."""
        return _shown(self._now().astimezone(self._zone(zone)))

    def convert_time(self, time: Moment, source_zone: Zone = "", target_zone: Zone = "") -> Converted:
        """What a clock in another zone shows at a moment given in `source_zone` (or with its own offset)."""
        source = self._read(time, source_zone)
        target = source.astimezone(self._zone(target_zone))
        ahead = _offset(target) - _offset(source)
        return Converted(
            source=_shown(source),
            target=_shown(target),
            difference_s=int(ahead.total_seconds()),
            note=_oddity(source),
        )

    def time_difference(self, start: Moment, end: Moment, zone: Zone = "") -> Difference:
        """How much time really passes between two moments, changes of summer time included."""
        seconds = (self._read(end, zone).astimezone(UTC) - self._read(start, zone).astimezone(UTC)).total_seconds()
        days, rest = divmod(abs(seconds), 86_400)
        hours, rest = divmod(rest, 3_600)
        minutes, rest = divmod(rest, 60)
        sign = "-" if seconds < 0 else ""
        return Difference(
            seconds=seconds,
            days=int(days),
            hours=int(hours),
            minutes=int(minutes),
            rest_s=rest,
            text=f"{sign}{int(days)} d {int(hours):02d} h {int(minutes):02d} min {rest:g} s",
        )

    def list_time_zones(
        self,
        matching: Annotated[str, Meta(description="Part of the name, in any case.", max_length=100)] = "",
        limit: Annotated[int, Meta(ge=1, le=1_000, description="How many names at most.")] = 100,
    ) -> ZoneList:
        """Names of time zones that contain a text."""
        wanted = matching.casefold().replace(" ", "_")
        found = [name for name in _zone_names() if wanted in name.casefold()]
        return ZoneList(zones=found[:limit], total=len(found))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)

    def _zone(self, name: str) -> zoneinfo.ZoneInfo:
        wanted = name or self._default
        if wanted not in _zone_names():  # also keeps paths and other strange names away from the database's files
            raise NotFound("zone.unknown", f"There is no time zone {wanted!r}.", _UNKNOWN_HINT)
        return zoneinfo.ZoneInfo(wanted)

    def _read(self, text: str, zone: str) -> datetime:
        """The moment in `text`; without an offset of its own it is a wall time in `zone`."""
        place = self._zone(zone)
        try:
            if "-" not in text.lstrip("-")[:5] and ":" in text[:3]:
                text = f"{self._now().astimezone(place).date().isoformat()}T{text}"
            moment = datetime.fromisoformat(text)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=place)
            aware.astimezone(UTC)  # a moment at the edge of the calendar has no UTC time
        except (ValueError, OverflowError):
            raise Invalid("time.format", f"{text!r} is not a time.", "Write ISO 8601, like 2026-03-29T14:30.") from None
        return aware


@lru_cache(maxsize=1)
def _zone_names() -> tuple[str, ...]:
    """All names, from the machine's database or the package tzdata."""
    names = tuple(sorted(zoneinfo.available_timezones()))
    if not names:
        raise Unavailable("zone.no_database", "This machine has no time zone database.", "Install the package tzdata.")
    return names


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    assert offset is not None
    return offset


def _shown(moment: datetime) -> ZonedTime:
    return ZonedTime(
        zone=str(moment.tzinfo),
        time=moment.isoformat(timespec="seconds"),
        weekday=moment.strftime("%A"),
        abbreviation=moment.tzname() or "",
        utc_offset_s=int(_offset(moment).total_seconds()),
        is_dst=bool(moment.dst()),
        unix_s=moment.timestamp(),
    )


def _oddity(moment: datetime) -> str:
    """Summer time makes wall times that never are, and others that are twice (PEP 495)."""
    if moment.replace(fold=0).utcoffset() == moment.replace(fold=1).utcoffset():
        return ""
    if moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) != moment.replace(tzinfo=None):
        return "This wall time does not exist in its zone: the clocks were put forward over it."
    return "This wall time occurs twice in its zone: the earlier one was taken."


def build(options: Options, clock: Clock | None = None) -> App:
    times = Times(options.zone, clock or SystemClock())
    app = App(
        "time",
        "Time",
        f"Tells and converts times between time zones. Default zone: {options.zone}.",
    )
    app.add("Current time", READS, times.get_current_time)
    app.add("Convert a time", READS, times.convert_time)
    app.add("Time between two moments", READS, times.time_difference)
    app.add("Time zones", READS, times.list_time_zones)
    return app
