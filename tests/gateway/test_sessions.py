"""Sessions of legacy clients: they expire, are bounded in number for each principal, and are told of when they end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from garrison.gateway.sessions import SESSION_LIFE_S, Session, Sessions
from garrison.kernel.clock import ManualClock
from garrison.kernel.ids import RandomIds


def sessions(clock: ManualClock | None = None, most: int = 3) -> Sessions:
    return Sessions(bytes(32), clock or ManualClock(), RandomIds(), per_principal_max=most)


def begun(one: Sessions, principal: str = "ada") -> str:
    return one.seal(one.begin(principal, "", "2025-11-25", "client"))


def ends_of(one: Sessions) -> list[Session]:
    heard: list[Session] = []
    one.on_ended(heard.append)
    return heard


def test_one_session_too_many_ends_the_one_that_rested_longest() -> None:
    one = sessions()
    heard = ends_of(one)
    first, second, third = (begun(one) for _ in range(3))
    assert one.open(first) is not None
    begun(one)
    assert [one.open(token) is not None for token in (first, second, third)] == [True, False, True]
    assert (one.count("ada"), len(heard)) == (3, 1)


def test_another_principals_sessions_are_left_alone() -> None:
    one = sessions()
    hers = begun(one, "ada")
    for _ in range(10):
        begun(one, "mallory")
    assert one.open(hers) is not None
    assert (one.count("ada"), one.count("mallory")) == (1, 3)


def test_sessions_from_before_a_restart_count_as_soon_as_they_are_used() -> None:
    before = [begun(sessions(most=9)) for _ in range(5)]
    one = sessions()
    assert all(one.open(token) is not None for token in before)
    assert one.count("ada") == 3
    assert one.open(before[0]) is None
    assert one.open(before[-1]) is not None


def test_a_session_ends_once_whoever_ends_it() -> None:
    clock = ManualClock()
    one = sessions(clock)
    heard = ends_of(one)
    token = begun(one)
    found = one.open(token)
    assert found is not None
    one.end(found)
    one.end(found)
    clock.advance(SESSION_LIFE_S + 1)
    one.expire()
    assert heard == [found]
    assert one.count("ada") == 0


def test_what_has_expired_is_told_of_and_forgotten() -> None:
    clock = ManualClock()
    one = sessions(clock)
    heard = ends_of(one)
    old = begun(one)
    clock.advance(SESSION_LIFE_S - 1)
    young = begun(one)
    clock.advance(1)
    assert one.open(old) is None
    one.expire()
    assert len(heard) == 1
    assert (one.count("ada"), one.open(young) is not None) == (1, True)


@given(st.lists(st.tuples(st.sampled_from(["begin", "open", "end", "expire"]), st.integers(0, 9)), max_size=60))
def test_whatever_happens_no_principal_has_more_sessions_than_it_may(steps: list[tuple[str, int]]) -> None:
    clock = ManualClock()
    one, tokens = sessions(clock, most=2), [""]
    for step, which in steps:
        clock.advance(3600)
        token = tokens[which % len(tokens)]
        found = one.open(token) if step in ("open", "end") else None
        if step == "begin":
            tokens.append(begun(one, f"p{which % 2}"))
        elif step == "end" and found is not None:
            one.end(found)
            assert one.open(token) is None
        elif step == "expire":
            one.expire()
        assert max(one.count("p0"), one.count("p1")) <= 2
