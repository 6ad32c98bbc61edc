"""Which instances are left out, and when they come back. Pure, with time as an argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from garrison.gateway.upstreams.outliers import OutlierPolicy, Outliers, Record, room, stand_out

POLICY = OutlierPolicy()
GOOD = Record(calls=20, median_s=0.01)


def fail(outliers: Outliers, number: int, times: int, now_s: float) -> None:
    for _ in range(times):
        outliers.tell(number, good=False, took_s=0.0, now_s=now_s)


def three() -> Outliers:
    outliers = Outliers(POLICY)
    outliers.serve((1, 2, 3))
    return outliers


def test_who_fails_in_a_row_stands_out() -> None:
    assert stand_out(POLICY, {1: GOOD, 2: Record(in_a_row=3, calls=3, failed=3), 3: GOOD}) == [2]
    assert stand_out(POLICY, {1: GOOD, 2: Record(in_a_row=2, calls=2, failed=2), 3: GOOD}) == []


def test_who_fails_much_more_often_than_the_others_stands_out() -> None:
    assert stand_out(POLICY, {1: GOOD, 2: Record(calls=20, failed=8, median_s=0.01)}) == [2]
    assert stand_out(POLICY, {one: Record(calls=20, failed=8, median_s=0.01) for one in (1, 2)}) == []


def test_who_is_much_slower_than_the_others_stands_out() -> None:
    assert stand_out(POLICY, {1: GOOD, 2: Record(calls=20, median_s=0.5), 3: GOOD}) == [2]
    assert stand_out(POLICY, {1: GOOD, 2: Record(calls=20, median_s=0.09), 3: GOOD}) == [], "it is not much"
    assert stand_out(POLICY, {1: GOOD, 2: Record(calls=5, median_s=9.0), 3: GOOD}) == [], "it is too early"
    assert stand_out(POLICY, {2: Record(calls=20, median_s=9.0)}) == [], "there is nobody to compare it with"


def test_the_worst_come_first() -> None:
    records = {1: GOOD, 2: Record(calls=20, median_s=0.5), 3: Record(in_a_row=9, calls=9, failed=9), 4: GOOD}
    assert stand_out(POLICY, records) == [3, 2]


def test_an_ejected_one_comes_back_by_a_good_probe() -> None:
    outliers = three()
    fail(outliers, 2, 3, now_s=100.0)
    assert (outliers.place(2, 100.0), outliers.place(2, 109.9), outliers.place(2, 110.0)) == (
        "out",
        "out",
        "on probation",
    )
    outliers.tell(2, good=True, took_s=0.0, now_s=110.0)
    assert outliers.place(2, 110.0) == "on probation", "a call from before says nothing"
    outliers.tell(2, good=True, took_s=0.0, now_s=110.0, probe=True)
    assert outliers.place(2, 110.0) == "in"


def test_its_time_grows_with_each_failed_probe_up_to_a_bound_and_is_forgotten_later() -> None:
    outliers, now, times = three(), 0.0, []
    fail(outliers, 1, 3, now)
    while len(times) < 7:
        began = now
        while outliers.place(1, now) == "out":
            now += 0.5
        times.append(now - began)
        outliers.tell(1, good=False, took_s=0.0, now_s=now, probe=True)
    assert times == [10, 20, 40, 80, 160, 300, 300]
    outliers.tell(1, good=True, took_s=0.0, now_s=now + 300, probe=True)
    fail(outliers, 1, 3, now + 301)
    assert outliers.place(1, now + 600) == "out", "it had been back for a second only"
    outliers.tell(1, good=True, took_s=0.0, now_s=now + 601, probe=True)
    fail(outliers, 1, 3, now + 1000)
    assert outliers.place(1, now + 1010) == "on probation"


def test_another_life_begins_with_a_clean_record() -> None:
    outliers = three()
    fail(outliers, 2, 3, now_s=0.0)
    outliers.forget(2)
    assert outliers.place(2, 0.0) == "in"


@given(st.floats(0, 1), st.integers(0, 64))
def test_there_is_always_one_left(share: float, instances: int) -> None:
    assert 0 <= room(OutlierPolicy(ejected_share_max=share), instances) <= max(0, instances - 1)


NUMBERS = st.integers(1, 5)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("serve"), st.sets(NUMBERS)),
        st.tuples(st.just("forget"), NUMBERS),
        st.tuples(st.just("call"), st.tuples(NUMBERS, st.booleans(), st.floats(0, 60), st.booleans())),
        st.tuples(st.just("wait"), st.floats(0, 400)),
    ),
    max_size=80,
)


@given(EVENTS, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_never_more_are_out_than_the_bound_whatever_happens(events: list[tuple[str, object]], share: float) -> None:
    policy = OutlierPolicy(ejected_share_max=share, failed_in_a_row=2, calls_min=3)
    outliers, now, serving = Outliers(policy), 0.0, set[int]()
    for kind, value in events:
        if kind == "serve":
            assert isinstance(value, set)
            serving = value
            outliers.serve(sorted(value))
        elif kind == "forget":
            assert isinstance(value, int)
            outliers.forget(value)
        elif kind == "wait":
            assert isinstance(value, float)
            now += value
        else:
            assert isinstance(value, tuple)
            number, good, took_s, probe = value
            outliers.tell(number, good=good, took_s=took_s, now_s=now, probe=probe)
        out = set(outliers.out())
        assert out <= serving
        assert len(out) <= room(policy, len(serving))
        assert not serving or serving - out
        assert {number for number in serving if outliers.place(number, now) != "in"} == out
