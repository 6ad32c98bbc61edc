"""The breaker's decider, by properties: when it opens, that it always tries again, and what it never counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from garrison.gateway.breakers import Breaker, BreakerPolicy, Permit, Verdict, Wait

POLICY = BreakerPolicy()
verdicts = st.sampled_from(["good", "failed", "unknown"])
steps = st.lists(st.tuples(st.floats(0, 40), verdicts), max_size=200)


def one(breaker: Breaker, verdict: Verdict, now_s: float) -> bool:
    """One call, if it may go."""
    answer = breaker.ask(now_s)
    if isinstance(answer, Wait):
        return False
    breaker.tell(answer, verdict, now_s)
    return True


def opened(now_s: float = 100.0) -> Breaker:
    breaker = Breaker(POLICY)
    for _ in range(POLICY.failed_in_a_row):
        one(breaker, "failed", now_s)
    assert breaker.state == "open"
    return breaker


def test_five_failures_in_a_row_open_it_and_a_good_one_starts_the_count_again() -> None:
    breaker = Breaker(POLICY)
    for verdict in ("failed",) * 4 + ("good",) + ("failed",) * 4:
        one(breaker, verdict, 100.0)
    assert breaker.state == "closed"
    one(breaker, "failed", 100.0)
    assert breaker.state == "open"


def test_half_of_twenty_calls_open_it_even_when_good_ones_stand_between() -> None:
    breaker = Breaker(POLICY)
    for number in range(20):
        assert breaker.state == "closed", number
        one(breaker, "good" if number % 2 else "failed", 100.0 + number / 10)
    one(breaker, "failed", 102.0)
    assert breaker.state == "open"


def test_failures_that_lie_further_apart_than_the_window_do_not_add_up() -> None:
    breaker = Breaker(POLICY)
    for second in range(0, 3000, 6):
        one(breaker, "good" if second % 12 else "failed", float(second))
    assert breaker.state == "closed"


@given(steps)
def test_an_open_breaker_never_asks_to_wait_longer_than_its_bound(lives: list[tuple[float, Verdict]]) -> None:
    breaker, now_s = Breaker(POLICY), 1000.0
    for passed_s, verdict in lives:
        now_s += passed_s
        answer = breaker.ask(now_s)
        if isinstance(answer, Wait):
            assert 0 < answer.after_s <= POLICY.open_max_s
            later = breaker.ask(now_s + answer.after_s + 0.001)
            assert isinstance(later, Permit), "what it promised"
            breaker.tell(later, "unknown", now_s + answer.after_s + 0.001)
            now_s += answer.after_s + 0.001
        else:
            breaker.tell(answer, verdict, now_s)


@given(st.lists(st.sampled_from(["good", "unknown"]), max_size=300))
def test_calls_that_do_not_fail_never_open_it(lives: list[Verdict]) -> None:
    breaker = Breaker(POLICY)
    assert all(one(breaker, verdict, 100.0 + number) for number, verdict in enumerate(lives))
    assert breaker.state == "closed"


@given(steps)
def test_at_most_ten_calls_at_once_try_a_server_out(lives: list[tuple[float, Verdict]]) -> None:
    breaker, now_s, out = opened(), 131.0, []
    for _ in lives:
        answer = breaker.ask(now_s)
        if isinstance(answer, Permit):
            out.append(answer)
    assert len(out) == min(len(lives), POLICY.probes)


def test_ten_good_probes_close_it_and_one_bad_one_opens_it_for_twice_as_long() -> None:
    breaker = opened()
    assert isinstance(breaker.ask(129.9), Wait)
    assert one(breaker, "failed", 130.1)
    answer = breaker.ask(130.1)
    assert isinstance(answer, Wait)
    assert answer.after_s == 2 * POLICY.open_first_s
    for _ in range(POLICY.probes):
        assert breaker.state != "closed"
        assert one(breaker, "good", 191.0)
    assert breaker.state == "closed"
    assert breaker.opened == 2


def test_what_was_called_before_it_opened_does_not_count_as_a_probe() -> None:
    breaker = Breaker(POLICY)
    early = breaker.ask(100.0)
    assert isinstance(early, Permit)
    for _ in range(POLICY.failed_in_a_row):
        one(breaker, "failed", 100.0)
    assert one(breaker, "good", 131.0)
    breaker.tell(early, "failed", 131.0)
    assert breaker.state == "half-open"


def test_a_new_instance_is_tried_out_at_once() -> None:
    breaker = opened()
    breaker.reconnected()
    assert breaker.state == "half-open"
    assert one(breaker, "good", 100.1)
