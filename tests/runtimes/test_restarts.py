from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from garrison.runtimes.restartlimit import RestartLimit
from garrison.runtimes.restarts import Again, GiveUp, History, RestartPolicy, ended, started

POLICY = RestartPolicy()
chances = st.floats(min_value=0, max_value=1, exclude_max=True)


def live(policy: RestartPolicy, lives: list[tuple[float, float, float]]) -> tuple[list[float], list[float], bool]:
    """Run lives of (ran_s, wasted_s, chance): when each started, the delays, and whether it was given up."""
    now, history, starts, delays = 1000.0, History(), [], []
    for ran_s, wasted_s, chance in lives:
        history = started(policy, history, now)
        starts.append(now)
        now += ran_s + wasted_s
        verdict = ended(policy, history, now, ran_s, lambda drawn=chance: drawn)
        if isinstance(verdict, GiveUp):
            return starts, delays, True
        history, delays, now = verdict.history, [*delays, verdict.delay_s], now + verdict.delay_s
    return starts, delays, False


short = st.tuples(st.floats(0, 3), st.floats(0, 3), chances)
any_life = st.tuples(st.floats(0, 500), st.floats(0, 200), chances)


@given(st.lists(any_life, max_size=60))
def test_no_window_of_thirty_seconds_ever_sees_more_than_five_starts(lives: list[tuple[float, float, float]]) -> None:
    starts, _, _ = live(POLICY, lives)
    for first in starts:
        assert len([start for start in starts if first <= start < first + POLICY.window_s]) <= POLICY.starts_max


@given(st.lists(any_life, max_size=60))
def test_a_delay_lies_between_zero_and_a_minute(lives: list[tuple[float, float, float]]) -> None:
    assert all(0 < delay <= POLICY.cap_s for delay in live(POLICY, lives)[1])


@given(st.lists(short, min_size=20, max_size=20))
def test_the_patient_never_give_up_and_end_at_the_cap(lives: list[tuple[float, float, float]]) -> None:
    _, delays, gave_up = live(RestartPolicy(patient=True), lives)
    assert not gave_up
    assert all(delay >= POLICY.cap_s / 2 for delay in delays[10:])


@given(st.lists(chances, min_size=8, max_size=8))
def test_what_ends_at_once_is_given_up_after_five_starts_in_a_quarter_of_a_minute(drawn: list[float]) -> None:
    starts, _, gave_up = live(POLICY, [(0.0, 0.0, chance) for chance in drawn])
    assert gave_up
    assert len(starts) == 5
    assert starts[-1] - starts[0] <= 15


def test_delays_double_from_one_second_with_the_upper_half_left_to_chance() -> None:
    slow = [(0.0, 20.0, chance) for chance in (0.999999, 0.0, 0.999999, 0.0, 0.5, 0.5, 0.5, 0.5)]
    delays = [round(delay, 3) for delay in live(POLICY, slow)[1]]
    assert delays == [1.0, 1.0, 4.0, 4.0, 12.0, 24.0, 45.0, 45.0]


def test_after_a_good_life_the_first_restart_comes_at_once() -> None:
    verdict = ended(POLICY, History((0.0,)), 20.0, 20.0, lambda: 0.9)
    assert isinstance(verdict, Again)
    assert verdict.delay_s <= 0.1


def test_a_stable_life_makes_earlier_failures_forgotten() -> None:
    tired = History((0.0,), failures=9)
    short_life = ended(POLICY, tired, 59.0, 59.0, lambda: 0.5)
    stable_life = ended(POLICY, tired, 61.0, 60.0, lambda: 0.5)
    assert isinstance(short_life, Again)
    assert isinstance(stable_life, Again)
    assert short_life.delay_s > 30
    assert stable_life.history.failures == 1


@given(st.lists(st.floats(0, 100), max_size=50))
def test_the_guardian_restarts_at_most_five_times_a_minute(gaps: list[float]) -> None:
    limit, now, restarts = RestartLimit(), 0.0, []
    for gap in gaps:
        now += gap
        delay = limit.next_delay_s(now)
        if delay is None:
            assert len([at for at in restarts if now - at < 60]) == 5
            return
        assert 0 <= delay <= 10
        restarts.append(now)


def test_the_first_restart_of_a_node_comes_at_once() -> None:
    limit = RestartLimit()
    assert [limit.next_delay_s(0.0) for _ in range(6)] == [0.0, 0.25, 0.5, 1.0, 2.0, None]
