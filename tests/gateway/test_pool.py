"""Which instance gets a call, how its breaker and its ejection decide, and what all instances offer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.gateway.breakers import BreakerPolicy, Permit
from garrison.gateway.refusals import Busy
from garrison.gateway.upstreams.agreement import agreed, lists_of, sentence
from garrison.gateway.upstreams.outliers import OutlierPolicy
from garrison.gateway.upstreams.pool import Pool, Seat, Spread
from garrison.kernel.errors import Limited, Unavailable
from garrison.protocol import methods
from garrison.protocol.connection import Connection

LOST = Unavailable("server.unreachable", "it cannot be reached")


class Wire:
    """A transport that leads nowhere."""

    cancels_by_closing = False

    def bind(self, connection: Connection) -> None: ...

    def send(self, frame: bytes, request_id: int | None, headers: Mapping[str, str]) -> None: ...

    def abandon(self, request_id: int) -> None: ...

    def settled(self, info: object) -> None: ...

    async def delivered(self) -> None: ...

    async def close(self) -> None: ...


def link() -> Connection:
    return Connection(Wire(), {}, label="one")


@dataclass
class Call:
    method: str = methods.TOOLS_CALL
    connection: Connection | None = None
    permit: Permit | None = None

    @property
    def at(self) -> int:
        assert isinstance(self.permit, Seat)
        return self.permit.member.number


@dataclass
class World:
    """A pool of three, and a clock that is set by hand."""

    policy: OutlierPolicy = field(default_factory=OutlierPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    calls_max: int = 0
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.pool = Pool("one", Spread(self.breaker, self.policy, self.calls_max, lambda: self.now))
        self.links = {number: link() for number in (1, 2, 3)}
        self.pool.follow(self.links)

    def call(self, method: str = methods.TOOLS_CALL) -> Call:
        made = Call(method)
        assert self.pool.take(made)
        return made

    def end(self, call: Call, verdict: str = "good") -> None:
        assert call.permit is not None
        self.pool.tell(call.permit, verdict, self.now)

    def fail_at(self, number: int, times: int) -> None:
        for _ in range(times):
            calls = [self.call() for _ in self.links]
            for call in calls:
                self.end(call, "failed" if call.at == number else "good")


async def test_equals_take_turns() -> None:
    world = World()
    found = []
    for _ in range(6):
        call = world.call()
        found.append(call.at)
        world.end(call)
    assert Counter(found) == {1: 2, 2: 2, 3: 2}


async def test_the_least_loaded_gets_the_call() -> None:
    world = World()
    calls = [world.call() for _ in range(6)]
    assert Counter(call.at for call in calls) == {1: 2, 2: 2, 3: 2}
    for call in calls:
        if call.at == 2:
            world.end(call)
    assert [world.call().at for _ in range(2)] == [2, 2]


async def test_a_full_instance_is_passed_over_and_all_full_is_said() -> None:
    world = World(calls_max=1)
    assert sorted(world.call().at for _ in range(3)) == [1, 2, 3]
    with pytest.raises(Limited, match="each instance of server one has 1 calls"):
        world.call()


async def test_an_instance_that_fails_is_left_out_and_comes_back_by_one_call() -> None:
    world = World()
    world.fail_at(2, 3)
    assert world.pool.left_alone() == {2}
    assert 2 not in {world.call().at for _ in range(10)}
    world.now += 10.0
    trials = [world.call() for _ in range(3)]
    assert [call.at for call in trials].count(2) == 1, "one call tries it out"
    world.end(next(call for call in trials if call.at == 2))
    assert world.pool.left_alone() == set()


async def test_who_is_left_out_serves_rather_than_nobody() -> None:
    world = World()
    world.fail_at(2, 3)
    await world.links[1].close()
    await world.links[3].close()
    assert world.call().at == 2


async def test_when_all_breakers_are_open_the_caller_is_told_when_to_come_back() -> None:
    world = World(breaker=BreakerPolicy(failed_in_a_row=5, open_first_s=30))
    for _ in range(15):
        world.end(world.call(), "failed")
    assert world.pool.state() == "open"
    with pytest.raises(Busy) as refused:
        world.call()
    assert refused.value.retry_after_s == 30
    world.now += 30.0
    assert world.pool.take(Call())


async def test_one_open_breaker_does_not_make_the_server_wait() -> None:
    world = World(policy=OutlierPolicy(ejected_share_max=0))
    world.fail_at(3, 5)
    assert (world.pool.state(), world.pool.left_alone()) == ("closed", {3})
    assert 3 not in {world.call().at for _ in range(10)}


async def test_a_retry_goes_elsewhere_if_there_is_an_elsewhere() -> None:
    world = World()
    call = world.call()
    first = call.at
    assert world.pool.move(call, LOST)
    assert call.at != first
    assert call.connection is world.links[call.at]
    world.pool.follow({call.at: world.links[call.at]})
    only = call.at
    assert world.pool.move(call, LOST)
    assert call.at == only


async def test_where_a_clients_state_is_its_calls_stay() -> None:
    world = World()
    own = link()
    own.instance = 2
    for _ in range(4):
        call = Call(connection=own)
        assert world.pool.take(call)
        assert (call.at, call.connection) == (2, own)
        assert isinstance(call.permit, Seat)
        assert call.permit.is_fixed
    assert not world.pool.take(Call(connection=link())), "a process of the client's own is none of ours"


async def test_the_pages_of_a_list_come_from_one_instance() -> None:
    world = World()
    world.call()
    assert {world.call(methods.TOOLS_LIST).at for _ in range(6)} == {1}


async def test_one_that_leaves_is_drained_of_its_own_calls_only() -> None:
    world = World()
    calls = {call.at: call for call in (world.call() for _ in range(3))}
    drained = asyncio.ensure_future(world.pool.drained(2))
    world.pool.follow({1: world.links[1], 3: world.links[3]})
    assert 2 not in {world.call().at for _ in range(4)}
    await asyncio.sleep(0)
    assert world.pool.busy(2)
    assert not drained.done()
    world.end(calls[2])
    await asyncio.wait_for(drained, 5)
    assert not world.pool.busy(2)
    assert world.pool.busy(1)


async def test_another_life_of_an_instance_begins_well() -> None:
    world = World()
    world.fail_at(2, 3)
    again = {**world.links, 2: link()}
    assert world.pool.follow(again) == [again[2]]
    assert world.pool.left_alone() == set()


NUMBERS = st.integers(1, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(["good", "failed", "unknown"])),
        st.tuples(st.just("serve"), st.sets(NUMBERS, min_size=1)),
        st.tuples(st.just("wait"), st.floats(0, 50)),
        st.tuples(st.just("hold"), st.none()),
    ),
    max_size=60,
)


@given(STEPS)
def test_calls_in_flight_are_counted_whatever_happens(steps: list[tuple[str, object]]) -> None:
    world, held = World(calls_max=4), list[Call]()
    for step, value in steps:
        if step == "serve":
            assert isinstance(value, set)
            world.pool.follow({number: world.links[number] for number in sorted(value)})
        elif step == "wait":
            assert isinstance(value, float)
            world.now += value
        else:
            try:
                call = world.call()
            except (Busy, Limited):
                continue
            if step == "hold":
                held.append(call)
            else:
                world.end(call, str(value))
        assert sum(member.in_flight for member in world.pool.members.values()) <= len(held)
    for call in held:
        world.end(call)
    assert not any(world.pool.busy(number) for number in (1, 2, 3))
    assert world.pool._leaving == []


# ── what all of them offer ──


def tool(name: str, text: str = "") -> dict[str, str]:
    return {"name": name, "description": text}


def test_only_what_all_have_is_offered_as_the_first_describes_it() -> None:
    lists: dict[int, list[object]] = {1: [tool("a", "first"), tool("b")], 2: [tool("c"), tool("a", "second")]}
    common, differs = agreed(methods.TOOLS_LIST, lists)
    assert common == [tool("a", "first")]
    assert differs == {1: ["c"], 2: ["a", "b"]}
    assert "instance 1: c; instance 2: a, b" in sentence(differs)


def test_instances_that_agree_are_not_talked_about() -> None:
    common, differs = agreed(methods.TOOLS_LIST, {1: [tool("a"), tool("b")], 2: [tool("b"), tool("a")]})
    assert common == [tool("a"), tool("b")]
    assert sentence(differs) == ""


async def test_an_instance_that_does_not_list_takes_nothing_from_the_others() -> None:
    links = {1: link(), 2: link()}

    async def read(connection: Connection) -> list[object]:
        if connection is links[1]:
            raise LOST
        return [tool("a")]

    assert await lists_of("one", links, read) == {2: [tool("a")]}
    with pytest.raises(Unavailable):
        await lists_of("one", {1: links[1]}, read)


async def test_an_instance_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("garrison.gateway.upstreams.agreement.TOGETHER_S", 0.05)
    links = {1: link(), 2: link()}

    async def read(connection: Connection) -> list[object]:
        if connection is links[1]:
            await asyncio.Event().wait()
        return [tool("a")]

    assert await lists_of("one", links, read) == {2: [tool("a")]}
