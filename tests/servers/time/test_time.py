from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import GarrisonError, Invalid, NotFound
from garrison.servers.time import server
from garrison.servers.time.server import Options, Times, build

NOW = ManualClock(wall=1_774_744_200_000_000_000)  # 2026-03-29T00:30:00Z, half an hour before summer time in Europe


@pytest.fixture
def times(calling: Any) -> Any:
    return calling(build(Options(zone="Europe/Berlin"), NOW))


async def test_now_in_the_default_and_in_a_given_zone(times: Any) -> None:
    here = (await times("get_current_time")).data
    assert (here["time"], here["weekday"], here["abbreviation"]) == ("2026-03-29T01:30:00+01:00", "Sunday", "CET")
    assert here["unix_s"] == 1_774_744_200
    there = (await times("get_current_time", zone="Asia/Kathmandu")).data
    assert (there["time"], there["utc_offset_s"]) == ("2026-03-29T06:15:00+05:45", 20_700)


async def test_a_time_is_converted_between_zones(times: Any) -> None:
    answer = (await times("convert_time", time="2026-07-01T12:00", target_zone="America/New_York")).data
    assert answer["target"]["time"] == "2026-07-01T06:00:00-04:00"
    assert (answer["difference_s"], answer["note"], answer["target"]["is_dst"]) == (-21_600, "", True)
    own_offset = (await times("convert_time", time="2026-07-01T12:00:00Z")).data
    assert own_offset["target"]["time"] == "2026-07-01T14:00:00+02:00"
    time_alone = (await times("convert_time", time="09:15", source_zone="UTC", target_zone="UTC")).data
    assert time_alone["target"]["time"] == "2026-03-29T09:15:00+00:00"


async def test_wall_times_that_never_are_or_are_twice_are_pointed_out(times: Any) -> None:
    skipped = (await times("convert_time", time="2026-03-29T02:30", target_zone="UTC")).data
    assert "does not exist" in skipped["note"]
    doubled = (await times("convert_time", time="2026-10-25T02:30", target_zone="UTC")).data
    assert "twice" in doubled["note"]
    assert doubled["target"]["time"] == "2026-10-25T00:30:00+00:00"


async def test_a_difference_counts_the_time_that_really_passes(times: Any) -> None:
    night = (await times("time_difference", start="2026-03-29T00:00", end="2026-03-30T00:00")).data
    assert (night["seconds"], night["days"], night["hours"]) == (23 * 3_600, 0, 23)
    back = (await times("time_difference", start="2026-01-02T00:00:01Z", end="2026-01-01T00:00:00Z")).data
    assert (back["seconds"], back["text"]) == (-86_401, "-1 d 00 h 00 min 1 s")


async def test_zones_are_found_by_a_part_of_their_name(times: Any) -> None:
    assert (await times("list_time_zones", matching="new york")).data == {"zones": ["America/New_York"], "total": 1}
    some = (await times("list_time_zones", limit=3)).data
    assert len(some["zones"]) == 3
    assert some["total"] > 400


@pytest.mark.parametrize("zone", ["Nowhere", "../../etc/passwd", "/etc/passwd", "europe/berlin\0", "-x"])
async def test_unknown_zones_are_refused(times: Any, zone: str) -> None:
    assert (await times("get_current_time", zone=zone)).code == "zone.unknown"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "25:00", "0001-01-01T00:00", "9999-12-31T23:59-12:00"])
async def test_texts_that_are_no_times_are_refused(times: Any, text: str) -> None:
    assert (await times("convert_time", time=text, source_zone="Asia/Tokyo")).code == "time.format"


def test_an_unknown_default_zone_is_found_at_the_start() -> None:
    with pytest.raises(NotFound):
        build(Options(zone="Mars/Olympus"))


@pytest.fixture
def forgotten_names() -> Iterator[None]:
    server._zone_names.cache_clear()
    yield
    server._zone_names.cache_clear()


def test_a_machine_without_a_database_gets_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, forgotten_names: None
) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(GarrisonError, match="no time zone database"):
        build(Options())


@given(st.text(max_size=30), st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]))
def test_any_text_is_a_time_or_a_clear_error(text: str, zone: str) -> None:
    with suppress(Invalid):
        Times("UTC", NOW).convert_time(text, zone, "Asia/Tokyo")


@given(st.datetimes(timezones=st.just(zoneinfo.ZoneInfo("UTC"))), st.sampled_from(["Asia/Tokyo", "America/St_Johns"]))
def test_a_conversion_keeps_the_moment(moment: Any, zone: str) -> None:
    times: Any = Times("UTC", NOW)
    try:
        answer = times.convert_time(moment.isoformat(), "", zone)
    except GarrisonError:
        return
    assert answer.target.unix_s == answer.source.unix_s
