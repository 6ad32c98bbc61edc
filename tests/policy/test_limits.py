"""Which limits concern whom, and which of several refuses."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.limits import AmountsSpec, LimitSpec, amount_of, rate_of
from garrison.identity.principals import Principal
from garrison.policy import limits
from garrison.policy.limits import Meter, Rule, meter_of

ADA = Principal("key:1", "key", "ada", ("reader",), ("maths",))
NOON = 1_795_348_800_000_000_000


def rule(**spec: object) -> Rule:
    return Rule("some", LimitSpec(**spec))  # type: ignore[arg-type]


def meter(name: str = "some", **spec: object) -> Meter:
    return meter_of(Rule(name, LimitSpec(**spec)), "ada", "ada", "key:1", 0.0)  # type: ignore[arg-type]


def refused(*meters: Meter, size: int = 10, now_s: float = 0.0) -> limits.Refusal | None:
    return limits.refusal(meters, size, now_s, NOON)


def call(*meters: Meter, size: int = 10, now_s: float = 0.0) -> bool:
    if refused(*meters, size=size, now_s=now_s) is not None:
        return False
    limits.enter(meters, size, now_s, NOON)
    return True


def test_amounts_and_rates_are_read_with_their_units() -> None:
    assert [amount_of(text) for text in (7, "7", "1.5k", "2M", "1G")] == [7, 7, 1500, 2e6, 1e9]
    assert rate_of("100/minute") == (100, 60)
    assert rate_of("5k / day") == (5000, 86_400)


def test_a_rule_concerns_whom_all_that_it_says_fits() -> None:
    assert rule().concerns(ADA, "tool", "git", "log")
    assert rule(principals=["a*"], roles=["reader"], groups=["maths"]).concerns(ADA, "tool", "git", "log")
    assert rule(principals=["key:*"]).concerns(ADA, "tool", "git", "log")
    assert not rule(principals=["bob"]).concerns(ADA, "tool", "git", "log")
    assert not rule(roles=["admin"]).concerns(ADA, "tool", "git", "log")
    assert not rule(groups=["art"]).concerns(ADA, "tool", "git", "log")
    assert not rule(servers=["time"]).concerns(ADA, "tool", "git", "log")
    assert not rule(tools=["git_*"]).concerns(ADA, "tool", "git", "log")


def test_prompts_and_resources_count_unless_tools_are_named() -> None:
    assert rule().concerns(ADA, "resource", "files", "file:///a")
    assert not rule(tools=["read_*"]).concerns(ADA, "resource", "files", "read_me")


def test_what_is_counted_together_is_what_per_says() -> None:
    subjects = [rule(per=per).subject(ADA, "git", "log") for per in ((), ("principal",), ("server",), ("tool",))]
    assert subjects == ["", "key:1", "git", "git/log"]
    assert rule(per=("tool", "principal")).subject(ADA, "git", "log") == "key:1\x1fgit/log"


def test_calls_are_let_in_up_to_the_burst_and_then_at_the_rate() -> None:
    one = meter(calls="60/minute", burst=3)
    assert [call(one) for _ in range(4)] == [True, True, True, False]
    found = refused(one)
    assert found is not None
    assert (found.code, found.wait_s) == ("limit.calls", 1.0)
    assert call(one, now_s=1.0)


def test_calls_at_once_are_bounded_until_one_ends() -> None:
    one = meter(concurrent=2)
    assert [call(one) for _ in range(3)] == [True, True, False]
    limits.leave([one], 0, 0, 0.0, NOON)
    assert call(one)


def test_bytes_of_requests_count_before_the_call_and_results_after_it() -> None:
    one = meter(bytes_in="1k/hour", bytes_out="100/hour", result_tokens="1k/hour")
    assert call(one, size=900)
    found = refused(one, size=200)
    assert found is not None
    assert found.code == "limit.bytes_in"
    limits.leave([one], 500, limits.estimated_tokens(500), 0.0, NOON)
    found = refused(one, size=1)
    assert found is not None
    assert (found.code, round(found.wait_s)) == ("limit.bytes_out", (401 * 36))


def test_a_request_that_is_larger_than_the_limit_is_told_that_no_rest_helps() -> None:
    found = refused(meter(bytes_in="1k/minute"), size=2000)
    assert found is not None
    assert found.wait_s == math.inf
    assert "no rest helps" in found.hint


def test_quotas_of_a_day_and_a_month_count_beside_each_other() -> None:
    one = meter(daily=AmountsSpec(calls=2), monthly=AmountsSpec(result_tokens="1k"))
    assert call(one)
    limits.leave([one], 4000, 1000, 0.0, NOON)
    found = refused(one)
    assert found is not None
    assert found.code == "limit.monthly_result_tokens"


def test_of_several_limits_all_count_and_the_one_that_lasts_longest_is_told() -> None:
    short, long = meter("short", calls="1/second"), meter("long", calls="1/hour")
    assert call(short, long)
    found = refused(short, long)
    assert found is not None
    assert found.meter is long
    assert refused(short, now_s=2.0) is None
    assert not call(short, long, now_s=2.0)


def test_a_call_that_one_of_several_refuses_counts_at_none() -> None:
    wide, narrow = meter("wide", calls="10/hour"), meter("narrow", calls="1/hour")
    assert [call(wide, narrow) for _ in range(5)] == [True, False, False, False, False]
    assert [call(wide) for _ in range(10)] == [True] * 9 + [False]


@given(st.lists(st.sampled_from(["call", "end", "undo"]), max_size=60))
def test_what_is_taken_back_was_never_there(steps: list[str]) -> None:
    one, kept = (
        meter(calls="5/hour", bytes_in="1k/hour", concurrent=4),
        meter(calls="5/hour", bytes_in="1k/hour", concurrent=4),
    )
    for step in steps:
        if step == "call":
            assert call(one) == call(kept)
        elif step == "end" and one.in_flight:
            for each in (one, kept):
                limits.leave([each], 0, 0, 0.0, NOON)
        elif step == "undo" and refused(one) is None:
            limits.enter([one], 10, 0.0, NOON)
            limits.undo([one], 10, 0.0, NOON)
    assert [purse.left(0.0, NOON) for _, purse in one.purses] == [purse.left(0.0, NOON) for _, purse in kept.purses]
    assert one.in_flight == kept.in_flight


def test_tokens_are_estimated_by_four_bytes_each() -> None:
    assert [limits.estimated_tokens(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_a_refusal_says_what_to_whom_and_why() -> None:
    one = meter(calls="1/hour")
    assert call(one)
    found = refused(one)
    assert found is not None
    assert found.message == "the limit some lets ada use 1 calls per hour"
