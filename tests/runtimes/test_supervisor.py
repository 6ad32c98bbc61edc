from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import GarrisonError, NotFound, Unauthenticated, Unavailable
from garrison.runtimes import strays
from garrison.runtimes.drivers.remote import RemoteDriver
from garrison.runtimes.instance import HttpEndpoint, Instance, State
from garrison.runtimes.reaper import Reaper
from garrison.runtimes.restarts import RestartPolicy
from garrison.runtimes.supervisor import Hooks, Supervisor
from runtimes.small_fleet import (
    EXITS_AT_ONCE,
    GOOD,
    HANGS,
    ONE_ANSWER_THEN_EXIT,
    ONE_ANSWER_THEN_SILENCE,
    QUICK,
    WATCHFUL,
    Fleet,
    Info,
    SmallLink,
    descriptors,
    environment_of,
    python,
    snapshot,
    until,
)


async def test_an_eager_server_is_running_once_all_has_settled(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    seen = fleet.of("good")
    assert (seen.state, seen.era, seen.version, seen.error) == (State.RUNNING, "legacy", "2025-11-25", "")
    assert seen.pid > 0
    assert 0 < seen.startup_s < 5
    assert seen.started_at.endswith("Z")
    assert fleet.states("good") == [State.STOPPED, State.STARTING, State.STARTING, State.RUNNING]
    assert [change for change, *_ in fleet.changes] == ["server.started"]


async def test_a_lazy_server_waits_until_somebody_needs_it(fleet: Fleet) -> None:
    await fleet.up(python("lazy", GOOD, start="lazy"))
    assert fleet.of("lazy").state is State.STOPPED
    links = await asyncio.gather(*(fleet.supervisor.demand("lazy") for _ in range(5)))
    assert len(set(map(id, links))) == 1
    assert fleet.of("lazy").state is State.RUNNING
    assert len(strays.find(fleet.fleet_id)) == 1


async def test_a_demand_for_a_server_that_cannot_start_fails_with_its_reason(fleet: Fleet) -> None:
    await fleet.up(ServerSpec(name="lost", transport="stdio", command=("no-such-program",), start="lazy"))
    with pytest.raises(Unavailable, match="'no-such-program' was not found"):
        await fleet.supervisor.demand("lost")


async def test_a_demand_for_an_unknown_server_is_not_found(fleet: Fleet) -> None:
    with pytest.raises(NotFound):
        await fleet.supervisor.demand("nobody")


async def test_what_can_never_start_is_fatal_at_once_with_a_hint(fleet: Fleet) -> None:
    await fleet.up(ServerSpec(name="lost", transport="stdio", command=("bunx", "thing")))
    seen = fleet.of("lost")
    assert seen.state is State.FATAL
    assert "'bunx' was not found" in seen.error
    assert "Bun" in seen.hint
    assert [change for change, *_ in fleet.changes] == ["server.fatal"]


async def test_a_missing_reference_is_fatal_and_nothing_is_started(tmp_path: Path) -> None:
    def resolve(spec: ServerSpec) -> ServerSpec:
        raise NotFound("secret.unknown", "secret 'token' does not exist", "garrison secret set token")

    fleet = Fleet(tmp_path, hooks={"resolve": resolve})
    await fleet.up(python("good", GOOD))
    assert fleet.of("good").hint == "garrison secret set token"
    assert fleet.of("good").state is State.FATAL
    assert strays.find(fleet.fleet_id) == []
    await fleet.supervisor.stop_all()


async def test_resolved_values_reach_the_child_and_are_kept_nowhere(tmp_path: Path) -> None:
    def resolve(spec: ServerSpec) -> ServerSpec:
        return msgspec.structs.replace(spec, env={"TOKEN": "canary"})

    fleet = Fleet(tmp_path, hooks={"resolve": resolve})
    await fleet.up(python("good", GOOD, env={"TOKEN": "${secret:token}"}))
    seen = fleet.of("good")
    assert b"TOKEN=canary" in environment_of(seen.pid)
    assert "canary" not in repr(seen) + repr(fleet.changes) + repr(fleet.supervisor.connection("good").instance)  # type: ignore[union-attr]
    await fleet.supervisor.stop_all()


async def test_a_process_that_ends_in_the_handshake_is_named_as_the_cause(fleet: Fleet) -> None:
    await fleet.up(python("brief", "import sys; sys.stdin.readline(); sys.exit('no licence')"))
    seen = fleet.of("brief")
    assert (seen.state, seen.error) == (
        State.BACKOFF,
        "server brief exited with code 1 before it was ready: no licence",
    )


async def test_a_crash_loop_ends_fatal_with_the_reason_and_the_last_lines_while_neighbours_run_on(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD), python("crashes", EXITS_AT_ONCE))
    assert fleet.of("crashes").state is State.BACKOFF
    await until(lambda: fleet.of("crashes").state is State.FATAL)
    seen = fleet.of("crashes")
    assert "exited with code 3 before it was ready: cannot open the database" in seen.error
    assert "5 times within 30 s" in seen.error
    assert any("cannot open the database" in line for line in seen.log_tail)
    assert fleet.states("crashes").count(State.BACKOFF) == 4
    assert fleet.states("good").count(State.RUNNING) == 1


async def test_the_log_tells_of_every_life_and_of_its_end(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "garrison.runtimes")
    await fleet.up(python("good", GOOD), python("crashes", EXITS_AT_ONCE))
    await until(lambda: fleet.of("crashes").state is State.FATAL)
    told = [(record.message, vars(record).get("server")) for record in caplog.records]
    assert told.count(("server runs", "good")) == 1
    assert told.count(("server failed", "crashes")) == 4
    assert told.count(("server given up", "crashes")) == 1


async def test_a_server_that_dies_after_the_handshake_loops_no_longer_than_that(fleet: Fleet) -> None:
    await fleet.up(python("brief", ONE_ANSWER_THEN_EXIT))
    await until(lambda: fleet.of("brief").state is State.FATAL)
    assert "exited with code 7" in fleet.of("brief").error


async def test_a_killed_server_is_back_within_a_second(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    first = fleet.of("good").pid
    os.kill(first, 9)
    await until(lambda: fleet.of("good").pid not in (0, first), seconds=1.0)
    await until(lambda: fleet.of("good").state is State.RUNNING)
    assert fleet.of("good").restarts == 1
    assert State.EXITED in fleet.states("good")
    change, _, detail = fleet.changes[-1]
    assert change == "server.restarted"
    assert "SIGKILL" in detail["why"]


async def test_observers_never_see_a_connection_of_a_dead_server(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    os.kill(fleet.of("good").pid, 9)
    await until(lambda: fleet.of("good").restarts == 1 and fleet.of("good").state is State.RUNNING)
    with_link = {state for _, state, linked in fleet.seen if linked}
    assert with_link == {State.RUNNING}


async def test_a_hanging_handshake_is_given_up_after_its_deadline(fleet: Fleet) -> None:
    await fleet.up(python("hangs", HANGS, startup_timeout_s=0.3))
    seen = fleet.of("hangs")
    assert seen.state is State.BACKOFF
    assert "no answer to initialize" in seen.error
    assert strays.find(fleet.fleet_id) == []


@pytest.mark.slow
async def test_a_server_that_answers_no_pings_is_restarted_and_shakes_hands_once_a_life(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, policies=WATCHFUL)
    await fleet.up(python("silent", ONE_ANSWER_THEN_SILENCE))
    link = fleet.supervisor.connection("silent")
    assert link is not None
    await until(lambda: fleet.of("silent").restarts >= 1)
    assert "did not answer 3 pings in a row" in fleet.changes[-1][2].get("why", "") + fleet.of("silent").error
    assert link.handshakes == 1
    await fleet.supervisor.stop_all()


@pytest.mark.slow
async def test_silence_on_pings_is_forgiven_while_a_call_is_in_flight(tmp_path: Path) -> None:
    busy = True
    fleet = Fleet(tmp_path, policies=WATCHFUL, hooks={"busy": lambda server: busy})
    await fleet.up(python("silent", ONE_ANSWER_THEN_SILENCE))
    await asyncio.sleep(1.7)  # four missed pings
    assert fleet.of("silent").restarts == 0
    busy = False
    await until(lambda: fleet.of("silent").restarts >= 1)
    await fleet.supervisor.stop_all()


async def test_a_restart_drains_and_forgives_earlier_failures(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    first = fleet.of("good").pid
    await fleet.supervisor.restart("good")
    assert fleet.of("good").state is State.RUNNING
    assert fleet.of("good").pid != first
    states = fleet.states("good")
    assert states[states.index(State.DRAINING) :] == [
        *(State.DRAINING, State.STOPPING, State.STOPPED, State.STARTING, State.STARTING, State.RUNNING)
    ]
    assert [change for change, *_ in fleet.changes] == ["server.started", "server.stopped", "server.restarted"]


async def test_a_stop_waits_for_calls_in_flight_but_not_for_ever(tmp_path: Path) -> None:
    async def never(server: str) -> None:
        await asyncio.Event().wait()

    fleet = Fleet(tmp_path, policies=replace(QUICK, drain_s=0.3), hooks={"drained": never})
    await fleet.up(python("good", GOOD))
    began = asyncio.get_running_loop().time()
    await fleet.supervisor.stop_all()
    assert 0.3 <= asyncio.get_running_loop().time() - began < 2
    assert strays.find(fleet.fleet_id) == []


async def test_a_fatal_server_can_be_restarted(fleet: Fleet, tmp_path: Path) -> None:
    program = tmp_path / "late"
    await fleet.up(ServerSpec(name="late", transport="stdio", command=(str(program),)))
    assert fleet.of("late").state is State.FATAL
    with pytest.raises(Unavailable):
        await fleet.supervisor.demand("late")
    program.write_text(f"#!/bin/sh\nexec {' '.join(python('x', '').command[:3])} -c '{GOOD}'\n".replace("-c -c", "-c"))
    program.chmod(0o700)
    await fleet.supervisor.restart("late")
    assert fleet.of("late").state is State.RUNNING


async def test_applying_the_same_again_changes_nothing(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    pid = fleet.of("good").pid
    assert await fleet.supervisor.apply(snapshot(python("good", GOOD))) == []
    assert fleet.of("good").pid == pid


async def test_applying_a_new_snapshot_adds_removes_and_restarts(fleet: Fleet) -> None:
    await fleet.up(python("stays", GOOD), python("goes", GOOD), python("changes", GOOD))
    before = {name: seen.pid for name, seen in fleet.supervisor.observed().items()}
    stays = python("stays", GOOD, timeout_s=5.0)
    await fleet.up(stays, python("changes", GOOD, env={"NEW": "1"}), python("comes", GOOD))
    after = {name: seen.pid for name, seen in fleet.supervisor.observed().items()}
    assert set(after) == {"stays", "changes", "comes"}
    assert after["stays"] == before["stays"]
    assert after["changes"] != before["changes"]
    assert fleet.of("stays").spec.timeout_s == 5.0
    assert len(strays.find(fleet.fleet_id)) == 3
    assert ("goes", State.STOPPED, False) in fleet.seen


async def test_a_disabled_server_is_stopped(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    await fleet.up(python("good", GOOD, enabled=False))
    assert fleet.supervisor.observed() == {}
    assert strays.find(fleet.fleet_id) == []


async def test_many_servers_start_side_by_side(fleet: Fleet) -> None:
    await fleet.up(*(python(f"s{n}", GOOD) for n in range(12)))
    assert {seen.state for seen in fleet.supervisor.observed().values()} == {State.RUNNING}


async def test_the_fleet_can_go_down_while_it_comes_up(fleet: Fleet) -> None:
    await fleet.supervisor.apply(snapshot(*(python(f"s{n}", HANGS) for n in range(6))))
    await fleet.supervisor.stop_all()
    assert strays.find(fleet.fleet_id) == []
    with pytest.raises(Unavailable):
        await fleet.supervisor.demand("s1")


async def test_a_start_that_is_taken_back_at_once_settles(fleet: Fleet) -> None:
    await fleet.supervisor.apply(snapshot(python("good", GOOD)))
    await fleet.supervisor.apply(snapshot())
    async with asyncio.timeout(5):
        await fleet.supervisor.settled()
    assert strays.find(fleet.fleet_id) == []


async def test_a_demand_that_meets_the_end_of_the_fleet_starts_nothing(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    going_down = asyncio.ensure_future(fleet.supervisor.stop_all())
    demand = asyncio.ensure_future(fleet.supervisor._crews["good"].demand())
    restart = asyncio.ensure_future(fleet.supervisor._crews["good"].restart("late"))
    await asyncio.wait({going_down, demand, restart}, timeout=5)
    assert strays.find(fleet.fleet_id) == []


async def test_many_rounds_of_kills_and_restarts_leak_nothing(reaper: Reaper, fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    before, tasks = descriptors(), len(asyncio.all_tasks())
    for _ in range(4):
        await fleet.supervisor.restart("good")
        os.kill(fleet.of("good").pid, 9)
        await until(lambda: fleet.of("good").restarts == 1 and fleet.of("good").state is State.RUNNING)
    assert descriptors() <= before
    assert len(asyncio.all_tasks()) <= tasks
    assert len(strays.find(fleet.fleet_id)) == 1


async def test_a_failing_observer_or_ledger_harms_no_server(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("observer")

    fleet.supervisor.subscribe(fails)
    fleet.changes = None  # type: ignore[assignment]
    await fleet.up(python("good", GOOD))
    assert fleet.of("good").state is State.RUNNING
    assert "could not be recorded" in caplog.text


async def test_the_number_of_tools_is_noted_and_published_once(fleet: Fleet) -> None:
    await fleet.up(python("good", GOOD))
    count = len(fleet.seen)
    fleet.supervisor.note_tools("good", 4)
    fleet.supervisor.note_tools("good", 4)
    assert fleet.of("good").tools == 4
    assert len(fleet.seen) == count + 1


class RemoteLink(SmallLink):
    """A connection to nobody: `refusals` are raised one by one, then it opens."""

    refusals: ClassVar[list[GarrisonError]] = []

    def __init__(self, instance: Instance) -> None:
        assert isinstance(instance.endpoint, HttpEndpoint)
        self.info = Info("modern", "2026-07-28")
        self._callbacks = []
        self._closed = None
        self._waiting = {}

    async def open(self, timeout_s: float) -> None:
        assert timeout_s <= 20
        if self.refusals:
            raise self.refusals.pop(0)

    async def ping(self, timeout_s: float) -> None:
        return


REMOTE = ServerSpec(name="far", transport="http", url="https://mcp.example/mcp", headers={"X": "1"})


def remote_supervisor(refusals: list[GarrisonError]) -> Supervisor[RemoteLink]:
    class Link(RemoteLink):
        pass

    Link.refusals = refusals
    driver = RemoteDriver()
    policies = replace(QUICK, restart=RestartPolicy(first_s=0.001, cap_s=0.01))
    return Supervisor({"http": driver, "sse": driver}, Link, Hooks(), policies)


async def test_a_remote_server_that_does_not_answer_is_tried_for_ever() -> None:
    supervisor = remote_supervisor([Unavailable("server.unreachable", "refused", "is it up?") for _ in range(30)])
    await supervisor.apply(snapshot(REMOTE))
    await supervisor.settled()
    seen = supervisor.observed()["far"]
    assert (seen.state, seen.error, seen.hint, seen.pid) == (State.BACKOFF, "refused", "is it up?", 0)
    await until(lambda: supervisor.observed()["far"].state is State.RUNNING)
    assert supervisor.observed()["far"].restarts == 30
    await supervisor.stop_all()


async def test_a_remote_server_that_wants_a_credential_says_so() -> None:
    supervisor = remote_supervisor([Unauthenticated("server.auth", "401", "add a header")])
    states: list[State] = []
    supervisor.subscribe(lambda name, seen, link: states.append(seen.state))
    await supervisor.apply(snapshot(REMOTE))
    await supervisor.settled()
    assert states[-1] is State.AUTH_NEEDED
    await supervisor.stop_all()
