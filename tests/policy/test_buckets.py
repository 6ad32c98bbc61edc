"""Rates and quotas: whatever comes, and whatever clocks do, no more is let through than was said."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.policy.buckets import Bucket, Elsewhere, Quota, Share, window_of

NS = 1_000_000_000
DAY = 86_400 * NS
NOON = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()) * NS

steps = st.lists(
    st.tuples(st.floats(0, 3, allow_nan=False), st.integers(1, 5)),
    min_size=1,
    max_size=80,
)


@given(steps, st.integers(1, 20), st.floats(0.1, 50))
def test_within_any_stretch_of_time_no_more_than_the_burst_and_what_came_in_is_taken(
    asked: list[tuple[float, int]], capacity: int, per_s: float
) -> None:
    bucket, now_s, taken = Bucket(capacity, per_s, capacity, 0.0), 0.0, []
    for pause_s, amount in asked:
        now_s += pause_s
        if bucket.wait_s(amount, now_s) == 0:
            bucket.take(amount, now_s)
            taken.append((now_s, amount))
    for first, (begun_s, _) in enumerate(taken):
        used = 0
        for at_s, amount in taken[first:]:
            used += amount
            assert used <= capacity + per_s * (at_s - begun_s) + 1e-6


@given(st.integers(1, 20), st.floats(0.1, 50), st.integers(1, 25))
def test_who_waits_as_long_as_told_is_let_in_and_not_a_moment_earlier(capacity: int, per_s: float, amount: int) -> None:
    bucket = Bucket(capacity, per_s, 0.0, 0.0)
    wait_s = bucket.wait_s(amount, 0.0)
    if amount > capacity:
        assert wait_s == math.inf
        return
    assert bucket.wait_s(amount, wait_s * 0.99) > 0
    assert bucket.wait_s(amount, wait_s + 1e-6) == pytest.approx(0, abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), max_size=50))
def test_a_clock_that_jumps_back_brings_in_nothing(moments: list[float]) -> None:
    bucket, before = Bucket(10, 1, 0.0, 0.0), 0.0
    came_in = 0.0
    for moment in moments:
        came_in += max(0.0, moment - before)
        before = moment
        assert 0 <= bucket.left(moment) <= min(10.0, came_in + 1e-3)


def test_what_is_known_only_afterwards_makes_debts_that_are_paid_first() -> None:
    bucket = Bucket(100, 10, 100.0, 0.0)
    bucket.take(350, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx(25.1)
    assert bucket.wait_s(1, 25.2) == 0


def test_two_buckets_know_nothing_of_each_other() -> None:
    greedy, modest = Bucket(5, 1, 5.0, 0.0), Bucket(5, 1, 5.0, 0.0)
    for _ in range(1000):
        greedy.take(1, 0.0)
    assert modest.wait_s(5, 0.0) == 0


# ── quotas ──


def test_days_and_months_are_those_of_the_calendar_in_utc() -> None:
    starts, ends = window_of("month", int(datetime(2028, 2, 29, 23, 59, tzinfo=UTC).timestamp()) * NS)
    assert datetime.fromtimestamp(starts / NS, UTC) == datetime(2028, 2, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(ends / NS, UTC) == datetime(2028, 3, 1, tzinfo=UTC)
    assert window_of("day", NOON) == (NOON - DAY // 2, NOON + DAY // 2)


@given(st.integers(0, 4_000_000_000), st.sampled_from(["day", "month"]))
def test_every_moment_is_in_exactly_one_window(moment_s: int, period: str) -> None:
    starts, ends = window_of(period, moment_s * NS)  # type: ignore[arg-type]
    assert starts <= moment_s * NS < ends
    assert window_of(period, ends)[0] == ends  # type: ignore[arg-type]


def test_a_quota_that_is_used_up_says_when_the_next_day_begins() -> None:
    quota = Quota(2, "day")
    for _ in range(2):
        assert quota.wait_s(1, 0, NOON) == 0
        quota.take(1, 0, NOON)
    assert quota.wait_s(1, 0, NOON) == 12 * 3600
    assert quota.wait_s(1, 0, NOON + DAY // 2) == 0
    assert quota.wait_s(3, 0, NOON) == math.inf


@given(st.lists(st.integers(-40, 40), max_size=60))
def test_putting_the_clock_back_gives_nobody_a_second_quota(hours: list[int]) -> None:
    """However it jumps: in all no more is used than one quota for each midnight that the latest time has passed."""
    quota, now_ns, latest, taken = Quota(3, "day"), NOON, NOON, 0
    for jump in hours:
        now_ns += jump * 3600 * NS
        latest = max(latest, now_ns)
        for _ in range(5):
            if quota.wait_s(1, 0, now_ns) == 0:
                quota.take(1, 0, now_ns)
                taken += 1
    jumps = sum(1 for jump in hours if jump > 0)
    assert taken <= 3 * (1 + jumps)


def test_a_clock_put_back_by_a_year_does_not_freeze_the_quota_for_a_year() -> None:
    quota = Quota(3, "day")
    quota.take(3, 0, NOON + 400 * DAY)
    assert quota.wait_s(1, 0, NOON) > 0, "what was used stays used on the day that it is now"
    assert quota.wait_s(1, 0, NOON + DAY) == 0


def test_what_others_have_used_counts_and_what_is_not_written_down_yet_comes_on_top() -> None:
    quota = Quota(10, "day")
    quota.take(2, 0, NOON)
    quota.learn(quota.starts_ns, 7.0)
    assert quota.left(0, NOON) == 1
    quota.learn(quota.starts_ns - DAY, 100.0)
    assert quota.left(0, NOON) == 1, "of another day"


# ── shares of what several gateways count ──


def test_of_a_shared_rate_nothing_is_given_that_was_not_drawn() -> None:
    share = Share(Bucket(100, 100, 100.0, 0.0), Elsewhere(open_without=True))
    assert share.batch == 10
    assert share.wait_s(1, 0.0) > 0
    share.held = 2
    assert share.wait_s(1, 0.0) == 0
    share.take(1, 0.0)
    share.take(1, 0.0)
    assert share.wait_s(1, 0.0) > 0


def test_while_the_other_side_is_away_a_gateway_counts_by_itself() -> None:
    away = Elsewhere(open_without=True, is_away=True)
    share = Share(Bucket(2, 1, 2.0, 0.0), away)
    assert share.wait_s(1, 0.0) == 0
    share.take(2, 0.0)
    assert share.wait_s(1, 0.0) == 1
    assert not away.refuses
    assert Elsewhere(open_without=False, is_away=True).refuses
