"""Meters: one for each rule and whom it counts; bounded, forgotten when idle, told to the disk and to other workers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.limits import AmountsSpec, LimitSpec
from garrison.gateway import metering as metering_module
from garrison.gateway.meter_news import MeterNews
from garrison.gateway.meter_rows import rows_of, together
from garrison.gateway.metering import Concern, Metering
from garrison.identity.principals import Principal
from garrison.kernel.clock import ManualClock
from garrison.policy.limits import OTHERS
from garrison.protection.budget_store import BudgetStore, report
from garrison.telemetry.metrics import Metrics


def metered(clock: ManualClock, recall: Callable[[str], Any] = lambda key: (), **rules: LimitSpec) -> Metering:
    return Metering(rules, clock.monotonic_s, clock.wall_ns, Metrics(), recall)


def who(name: str) -> Principal:
    return Principal(f"key:{name}", "key", name)


def concern(metering: Metering, name: str = "ada", tool: str = "log") -> Concern:
    found = metering.concern(who(name), "tool", "git", tool)
    assert found is not None
    return found


def call(metering: Metering, name: str = "ada", tool: str = "log", *, result: int | None = 40) -> bool:
    """Makes a call; with a result it ends at once."""
    found = concern(metering, name, tool)
    admitted = metering.admits(found, 10)
    if admitted and result is not None:
        metering.leave(found, result)
    return admitted


def test_without_a_rule_nothing_is_counted() -> None:
    metering = metered(ManualClock())
    assert metering.is_idle
    assert metering.concern(who("ada"), "tool", "git", "log") is None
    assert (
        metered(ManualClock(), one=LimitSpec(servers=("time",), calls="1/hour")).concern(
            who("ada"), "tool", "git", "log"
        )
        is None
    )


def test_each_principal_has_its_own_and_one_cannot_use_up_the_others() -> None:
    metering = metered(ManualClock(), one=LimitSpec(calls="3/hour"))
    assert [call(metering) for _ in range(5)] == [True] * 3 + [False] * 2
    assert call(metering, "bob")


def test_counted_together_all_draw_from_one() -> None:
    metering = metered(ManualClock(), one=LimitSpec(calls="3/hour", per=()))
    assert [call(metering, name) for name in ("ada", "bob", "eve", "ada")] == [True] * 3 + [False]


def test_other_rules_keep_what_was_used_of_those_that_stay_and_of_quotas_with_another_amount() -> None:
    kept, quota = LimitSpec(calls="2/hour"), LimitSpec(daily=AmountsSpec(calls=2))
    metering = metered(ManualClock(), kept=kept, quota=quota)
    assert [call(metering) for _ in range(3)] == [True, True, False]
    before = metering.edition
    metering.replace({"kept": kept, "quota": LimitSpec(daily=AmountsSpec(calls=3))})
    assert metering.edition is not before
    assert not call(metering), "two calls per hour, still"
    metering.replace({"quota": LimitSpec(daily=AmountsSpec(calls=3))})
    assert [call(metering) for _ in range(2)] == [True, False], "of three a day, two are used"
    metering.replace({})
    assert metering.is_idle


def test_meters_are_bounded_and_whoever_comes_later_shares_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering_module, "METERS_MAX", 3)
    metering = metered(ManualClock(), one=LimitSpec(calls="2/hour"))
    assert all(call(metering, name) for name in "abc")
    assert [call(metering, name) for name in "defg"] == [True, True, False, False]
    assert len(metering.meters()) == 4
    assert OTHERS in {meter.label for meter in metering.meters()}


def test_meters_that_are_full_again_are_forgotten() -> None:
    clock = ManualClock()
    metering = metered(clock, one=LimitSpec(calls="60/minute", concurrent=5))
    assert call(metering)
    assert call(metering, "bob", result=None)
    clock.advance(120)
    metering.sweep()
    assert [meter.label for meter in metering.meters()] == ["bob"], "a call is open there"


def test_concerns_and_used_cells_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering_module, "CONCERNS_MAX", 10)
    monkeypatch.setattr(metering_module, "USED_MAX", 10)
    metering = metered(ManualClock(), one=LimitSpec(calls="1k/hour"))
    for number in range(50):
        call(metering, tool=f"t{number}")
    used = metering.used_up()
    assert len(used) == 11
    assert sum(one.calls for one in used) == 50
    assert metering.used_up() == []


# ── the disk ──


def test_quotas_outlive_a_restart_and_are_one_for_all_processes(tmp_path: Path) -> None:
    clock, spec = ManualClock(), LimitSpec(daily=AmountsSpec(calls=5))
    store, other_store = BudgetStore(tmp_path / "b.sqlite"), BudgetStore(tmp_path / "b.sqlite")
    here, there = metered(clock, store.recall, one=spec), metered(clock, other_store.recall, one=spec)
    news, other_news = MeterNews(here), MeterNews(there)
    assert all(call(here) for _ in range(2))
    assert call(there)
    for side, side_news, side_store in ((here, news, store), (there, other_news, other_store), (here, news, store)):
        side_news.saved(side_store.add(side_news.unsaved(side.touched()), side.used_up(), clock.wall_ns()))
    assert [call(here) for _ in range(3)] == [True, True, False]
    store.add(news.unsaved(here.touched()), here.used_up(), clock.wall_ns())
    again = metered(clock, store.recall, one=spec)
    assert not call(again), "after a restart"
    clock.advance(86_400)
    assert call(again), "the next day"
    store.close()
    other_store.close()


def test_what_could_not_be_written_down_is_written_down_later() -> None:
    metering = metered(ManualClock(), one=LimitSpec(daily=AmountsSpec(calls=5)))
    news = MeterNews(metering)
    call(metering)
    lost = news.unsaved(metering.touched())
    assert [one.used for one in lost] == [1]
    news.not_saved(lost)
    call(metering)
    assert [one.used for one in news.unsaved(metering.touched())] == [2]


def test_reports_sum_up_by_principal_tool_and_server(tmp_path: Path) -> None:
    clock = ManualClock()
    store = BudgetStore(tmp_path / "b.sqlite")
    metering = metered(clock, one=LimitSpec(calls="3/hour"))
    for name, tool in (("ada", "log"), ("ada", "log"), ("bob", "diff"), ("ada", "diff"), ("ada", "log")):
        if not call(metering, name, tool):
            found = concern(metering, name, tool)
            refusal = metering.refusal(found, 10)
            assert refusal is not None
            metering.refused(found, refusal)
    store.add([], metering.used_up(), clock.wall_ns())
    store.add([], metering.used_up(), clock.wall_ns())
    rows = {by: report(tmp_path / "b.sqlite", by, clock.wall_ns()) for by in ("principal", "tool", "server")}  # type: ignore[arg-type]
    assert rows["principal"] == [("ada", 3, 1, 30, 120, 30), ("bob", 1, 0, 10, 40, 10)]
    assert [row[:3] for row in rows["tool"]] == [("git/diff", 2, 0), ("git/log", 2, 1)]
    assert [row[:3] for row in rows["server"]] == [("git", 4, 1)]
    assert report(tmp_path / "b.sqlite", "server", clock.wall_ns() + 2 * 3600 * 10**9) == []
    assert report(tmp_path / "none.sqlite", "server", 0) == []
    store.prune(clock.wall_ns() + 50 * 86_400 * 10**9)
    assert report(tmp_path / "b.sqlite", "server", 0) == []
    store.close()


# ── other workers ──


class Worker:
    def __init__(self, clock: ManualClock, **spec: Any) -> None:
        self.metering = metered(clock, one=LimitSpec(**spec))
        self.metering.has_peers = True
        self.news = MeterNews(self.metering)

    def tell(self, other: Worker) -> None:
        other.news.learn(2, self.news.report(self.metering.touched()))


def test_what_one_worker_lets_in_counts_at_the_other() -> None:
    clock = ManualClock()
    here, there = Worker(clock, calls="10/hour"), Worker(clock, calls="10/hour")
    assert [call(there.metering) for _ in range(7)] == [True] * 7
    there.tell(here)
    assert [call(here.metering) for _ in range(4)] == [True] * 3 + [False]
    assert [meter.label for meter in here.metering.meters()] == ["ada"]


def test_calls_at_once_are_counted_wherever_they_are_and_go_with_a_lost_worker() -> None:
    clock = ManualClock()
    here, there = Worker(clock, concurrent=3), Worker(clock, concurrent=3)
    assert [call(there.metering, result=None) for _ in range(2)] == [True, True]
    there.tell(here)
    assert [call(here.metering, result=None) for _ in range(2)] == [True, False]
    here.news.forget(2)
    assert call(here.metering, result=None)
    repeated = there.news.everything()
    here.news.learn(2, there.news.report(repeated))
    assert not call(here.metering, result=None)


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["call", "end", "told"])), max_size=60))
def test_both_know_the_same_number_of_open_calls_after_telling_each_other(steps: list[tuple[int, str]]) -> None:
    clock = ManualClock()
    workers = Worker(clock, concurrent=1000), Worker(clock, concurrent=1000)
    open_calls = [0, 0]
    for side, step in steps:
        if step == "call":
            open_calls[side] += call(workers[side].metering, result=None)
        elif step == "end" and open_calls[side]:
            workers[side].metering.leave(concern(workers[side].metering), 0)
            open_calls[side] -= 1
        elif step == "told":
            workers[side].tell(workers[1 - side])
    for side in (0, 1):
        workers[side].tell(workers[1 - side])
    assert {meter.in_flight for worker in workers for meter in worker.metering.meters()} <= {sum(open_calls)}


def test_rows_say_what_is_used_and_what_is_left() -> None:
    clock = ManualClock()
    metering = metered(clock, one=LimitSpec(calls="10/hour", concurrent=4, daily=AmountsSpec(bytes_out="1k")))
    assert call(metering)
    assert call(metering, result=None)
    rows = rows_of(metering.meters(), clock.monotonic_s(), clock.wall_ns())
    told = {row["what"]: (row["whose"], row["allowed"], row["used"], row["left"], bool(row["resets"])) for row in rows}
    assert told == {
        "calls at once": ("ada", "4", 1, 3, False),
        "calls": ("ada", "10/hour", 2, 8, False),
        "bytes out": ("ada", "1000/day", 40, 960, True),
    }
    assert not math.isinf(rows[0]["left"])


def test_rows_of_several_workers_are_one_list() -> None:
    row = {"limit": "tight", "whose": "ada", "what": "calls", "allowed": "5/min", "resets": ""}
    one = [{**row, "used": 1.0, "left": 4.0, "refused": 2}]
    two = [
        {**row, "used": 5.0, "left": 0.0, "refused": 3},
        {**row, "whose": "bob", "used": 1.0, "left": 4.0, "refused": 0},
    ]
    assert [(found["whose"], found["used"], found["refused"]) for found in together([one, two])] == [
        ("ada", 5.0, 5),
        ("bob", 1.0, 0),
    ]
    assert together([one]) == one
