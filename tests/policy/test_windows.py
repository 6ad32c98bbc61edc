"""Time windows: what clocks show in their zone, in summer and winter, and until when nothing changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.access import WhenSpec
from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.identity.principals import Principal
from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Invalid
from garrison.policy.authoriser import FOREVER_NS, Authoriser
from garrison.policy.windows import parse_window

ADA = Principal("ada-1", "key", "ada", ("r",))
WINDOWS = (
    "mon-fri 08:00-18:00 Europe/Berlin",
    "22:00-06:00 America/New_York",
    "sat,sun 00:00-24:00",
    "fri-mon 23:30-00:30",
)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-11-20T07:00:00Z", True),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-11-20T06:59:59Z", False),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-07-17T06:00:00Z", True),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-11-20T17:00:00Z", False),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-11-21T10:00:00Z", False),
        ("fri 22:00-06:00", "2026-11-21T05:59:00Z", True),
        ("fri 22:00-06:00", "2026-11-20T05:59:00Z", False),
        ("sat,sun 00:00-24:00", "2026-11-22T23:59:59Z", True),
        ("sat,sun 00:00-24:00", "2026-11-23T00:00:00Z", False),
        ("23:00-24:00", "2026-11-23T23:30:00Z", True),
    ],
)
def test_a_window_is_open_when_clocks_there_say_so(window: str, moment: str, is_open: bool) -> None:
    assert parse_window(window).holds(ns(moment)) is is_open


@pytest.mark.parametrize(
    "text", ["", "mon", "mon-fry 08:00-18:00", "25:00-26:00", "08:00-08:00", "08:00-18:00 Mars/Base", "8-18"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no time window"):
        parse_window(text)


@given(st.sampled_from(WINDOWS), st.integers(ns("2026-01-01T00:00:00Z") // 10**9, ns("2027-01-01T00:00:00Z") // 10**9))
def test_nothing_changes_before_it_is_said_to(text: str, second: int) -> None:
    window, now_ns = parse_window(text), second * 1_000_000_000
    until_ns = window.changes_ns(now_ns)
    assert until_ns > now_ns
    for part in range(1, 8):
        moment = now_ns + (until_ns - now_ns) * part // 8
        assert window.holds(moment) == window.holds(now_ns), datetime.fromtimestamp(moment / 1e9, UTC)


def test_a_grant_holds_within_its_window_and_what_was_decided_is_forgotten_at_its_end() -> None:
    clock = ManualClock(wall=ns("2026-11-20T06:59:50Z"))
    when = WhenSpec(during=("mon-fri 08:00-18:00 Europe/Berlin",))
    authoriser = Authoriser(
        {"r": RoleSpec(name="r", grants=(GrantSpec(tools=("*",), when=when),))}, wall_ns=clock.wall_ns
    )
    assert not authoriser.decide(ADA, "tool", "s", "t").allowed
    early = authoriser.edition
    assert authoriser.until_ns == ns("2026-11-20T07:00:00Z"), "whoever keeps a decision keeps it until then"
    clock.advance(10)
    decision = authoriser.decide(ADA, "tool", "s", "t")
    assert decision.repeatable
    assert authoriser.edition is not early
    clock.advance(10 * 3600)
    assert not authoriser.decide(ADA, "tool", "s", "t").allowed


def test_without_windows_decisions_hold_for_good() -> None:
    assert Authoriser({}).until_ns == FOREVER_NS
