"""Several instances of one server: started, restarted and drained each on its own, seen as one."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import Unavailable
from garrison.runtimes import strays
from garrison.runtimes.crew import spec_of, together
from garrison.runtimes.instance import Observed, State
from runtimes.small_fleet import EXITS_AT_ONCE, GOOD, QUICK, Fleet, python, until

SPEC = python("good", GOOD, instances=3)


def pids(fleet: Fleet, name: str = "good") -> dict[int, int]:
    return {each.number: each.pid for each in fleet.of(name).each}


async def test_so_many_processes_run_as_are_asked_for(fleet: Fleet) -> None:
    await fleet.up(SPEC)
    seen = fleet.of("good")
    assert (seen.state, seen.ready, seen.spec) == (State.RUNNING, 3, SPEC)
    assert len(set(pids(fleet).values())) == 3
    assert sorted(fleet.supervisor.links("good")) == [1, 2, 3]
    assert sorted(detail["number"] for _, _, detail in fleet.changes) == [1, 2, 3]
    assert len(strays.find(fleet.fleet_id)) == 3
    await fleet.supervisor.stop_all()
    assert strays.find(fleet.fleet_id) == []


async def test_one_that_dies_takes_nothing_from_the_others(fleet: Fleet) -> None:
    await fleet.up(SPEC)
    before = pids(fleet)
    seen_before = len(fleet.seen)
    os.kill(before[2], 9)
    await until(lambda: fleet.of("good").ready == 2)
    await until(lambda: fleet.of("good").ready == 3)
    after = pids(fleet)
    assert (after[1], after[3]) == (before[1], before[3])
    assert after[2] != before[2]
    assert {state for _, state, _ in fleet.seen[seen_before:]} == {State.RUNNING}, "the server ran all the time"
    assert fleet.of("good").restarts == 1


async def test_a_restart_takes_one_at_a_time(fleet: Fleet) -> None:
    await fleet.up(SPEC)
    before, least = pids(fleet), 3

    def watch(name: str, observed: Observed, link: object) -> None:
        nonlocal least
        least = min(least, observed.ready)

    fleet.supervisor.subscribe(watch)
    await fleet.supervisor.restart("good")
    assert least == 2
    assert not set(before.values()) & set(pids(fleet).values())


async def test_a_restart_waits_for_the_calls_of_one_instance_only(tmp_path: Path) -> None:
    waited: list[tuple[str, int]] = []

    async def drained_at(server: str, number: int) -> None:
        waited.append((server, number))
        await asyncio.sleep(0)

    async def never(server: str) -> None:
        await asyncio.Event().wait()

    hooks = {"drained_at": drained_at, "drained": never}
    fleet = Fleet(tmp_path, policies=replace(QUICK, drain_s=300), hooks=hooks)
    await fleet.up(SPEC)
    await fleet.supervisor.restart("good")
    assert waited == [("good", 1), ("good", 2), ("good", 3)]
    await fleet.supervisor.stop_all()


async def test_an_instance_that_does_not_come_back_stops_the_restart(fleet: Fleet, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(GOOD)
    await fleet.up(python("good", f"exec(open({str(program)!r}).read())", instances=3))
    before = pids(fleet)
    program.write_text(EXITS_AT_ONCE)
    await fleet.supervisor.restart("good")
    assert fleet.of("good").state is State.RUNNING
    assert len(set(pids(fleet).values()) & set(before.values())) == 2
    await fleet.supervisor.stop_all()


async def test_more_and_fewer_are_made_without_touching_the_rest(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    first = fleet.of("good").pid
    await fleet.up(SPEC)
    await until(lambda: fleet.of("good").ready == 3)
    assert pids(fleet)[1] == first
    await fleet.up(python("good", GOOD, instances=2))
    assert sorted(pids(fleet)) == [1, 2]
    assert pids(fleet)[1] == first
    await fleet.up(python("good", GOOD))
    assert (fleet.of("good").pid, fleet.of("good").each) == (first, ())
    assert len(strays.find(fleet.fleet_id)) == 1


async def test_a_lazy_server_starts_them_all_and_gives_the_first(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD, instances=2, start="lazy"))
    assert fleet.of("good").state is State.STOPPED
    link = await fleet.supervisor.demand("good")
    assert link in fleet.supervisor.links("good").values()
    await until(lambda: fleet.of("good").ready == 2)


async def test_when_none_can_start_the_demand_says_why(fleet: Fleet) -> None:
    await fleet.up(python("bad", EXITS_AT_ONCE, instances=2, start="lazy"))
    with pytest.raises(Unavailable, match="bad is"):
        await fleet.supervisor.demand("bad")


def test_each_instance_has_its_address() -> None:
    spec = ServerSpec(name="far", transport="http", url="http://a", urls=("http://b", "http://c"))
    assert [spec_of(spec, number).url for number in (1, 2, 3)] == ["http://a", "http://b", "http://c"]


def test_a_server_is_as_well_as_its_best_instance() -> None:
    def seen(*states: State) -> Observed:
        each = [Observed("good", SPEC, state, number=n, restarts=1) for n, state in enumerate(states, 1)]
        return together(SPEC, each, None)

    assert seen(State.FATAL, State.RUNNING, State.BACKOFF).state is State.RUNNING
    assert seen(State.FATAL, State.RUNNING, State.BACKOFF).ready == 1
    assert seen(State.FATAL, State.BACKOFF).state is State.BACKOFF
    assert seen(State.FATAL, State.FATAL).state is State.FATAL
    assert seen(State.FATAL, State.FATAL).restarts == 2
