"""Limits for all workers together, and texts that lead to the worker that sealed them."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.snapshot import Snapshot
from garrison.gateway.shares import SharedAccount, SharedLimit
from garrison.gateway.stages.limit import Limits
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.upstream import Upstream
from garrison.gateway.worker import NONCE_BYTES, Worker
from running_fleet import stdio


@given(st.integers(1, 32).flatmap(lambda count: st.tuples(st.integers(1, count), st.just(count))), st.binary())
def test_what_a_worker_seals_leads_to_it(place: tuple[int, int], content: bytes) -> None:
    worker = Worker(*place)
    nonce = worker.nonce()
    assert len(nonce) == NONCE_BYTES
    assert worker.leads_to(urlsafe_b64encode(nonce + content).decode()) == worker.number


@given(st.text(max_size=3), st.integers(1, 32))
def test_any_text_leads_to_some_worker(text: str, count: int) -> None:
    assert 1 <= Worker(1, count).leads_to(text) <= count


class Clock:
    now_s = 100.0


def upstream() -> Upstream:
    directory = Directory()
    directory.apply(Snapshot({"one": stdio("one", "everything")}, {}, {}))
    return directory.get("one")


class Side:
    """One worker's limits."""

    def __init__(self, clock: Clock, **limits: float) -> None:
        self.server = upstream()
        self.limit = SharedLimit(
            Limits(**limits),  # type: ignore[arg-type]
            lambda: clock.now_s,
            lambda: {"one": self.server.in_flight},
        )

    def call(self) -> bool:
        return self.limit.within(self.limit.account("ada"), self.server)

    def answer(self) -> None:
        self.limit.account("ada").in_flight -= 1
        self.server.left()

    def tell(self, other: Side, worker: int = 2) -> bool:
        report = self.limit.report()
        if report:
            other.limit.learn(worker, report)
        return bool(report)


def test_what_one_worker_has_let_in_counts_at_the_other() -> None:
    clock = Clock()
    here, there = Side(clock, calls_per_s=10, burst=20), Side(clock, calls_per_s=10, burst=20)
    assert all(there.call() for _ in range(15))
    assert there.tell(here)
    assert [here.call() for _ in range(6)] == [True] * 5 + [False]
    clock.now_s += 0.35
    assert [here.call() for _ in range(4)] == [True, True, True, False]


def test_calls_in_flight_count_wherever_they_are_until_they_end() -> None:
    clock = Clock()
    here, there = Side(clock, concurrent_calls=4), Side(clock, concurrent_calls=4)
    assert [there.call() for _ in range(3)] == [True] * 3
    there.tell(here)
    assert [here.call(), here.call()] == [True, False]
    there.answer()
    there.tell(here)
    assert here.call()
    assert not here.call()
    account = here.limit.account("ada")
    assert isinstance(account, SharedAccount)
    assert account.here == 2
    for _ in range(2):
        there.answer()
    there.tell(here)
    assert account.in_flight == 2
    assert not there.tell(here), "nothing is new"


def test_a_servers_bound_is_for_all_together_and_what_a_lost_worker_had_counts_no_more() -> None:
    clock = Clock()
    limits = {"concurrent_calls_per_server": 3}
    here, there = Side(clock, **limits), Side(clock, **limits)
    assert [there.call() for _ in range(3)] == [True] * 3
    there.tell(here)
    assert not here.call()
    here.limit.forget(2)
    assert here.call()
    assert here.limit.account("ada").in_flight == 1


def test_a_repeated_report_changes_nothing_and_tells_one_who_began_afresh_everything() -> None:
    clock = Clock()
    here, there, fresh = (Side(clock, concurrent_calls=9) for _ in range(3))
    assert all([there.call(), there.call()])
    there.tell(here)
    there.limit.repeat()
    report = there.limit.report()
    here.limit.learn(2, report)
    fresh.limit.learn(2, report)
    assert here.limit.account("ada").in_flight == fresh.limit.account("ada").in_flight == 2


@given(st.lists(st.sampled_from(["a call", "an answer", "told"]), max_size=60))
def test_both_know_the_sum_after_telling_each_other(steps: list[str]) -> None:
    clock = Clock()
    sides = Side(clock, concurrent_calls=10_000), Side(clock, concurrent_calls=10_000)
    open_calls = [0, 0]
    for place, step in enumerate(steps):
        side = place % 2
        if step == "a call":
            open_calls[side] += sides[side].call()
        elif step == "an answer" and open_calls[side]:
            sides[side].answer()
            open_calls[side] -= 1
        elif step == "told":
            sides[side].tell(sides[1 - side])
    for side in (0, 1):
        sides[side].tell(sides[1 - side])
    assert [side.limit.account("ada").in_flight for side in sides] == [sum(open_calls)] * 2


def test_nonces_are_drawn_until_one_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([bytes([0]) * 12, bytes([4]) * 12])
    monkeypatch.setattr(os, "urandom", lambda size: next(drawn))
    assert Worker(2, 2).nonce() == bytes([4]) * 12
