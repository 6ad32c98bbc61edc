"""Limits of garrison.yaml through a real fleet, in both eras, on the long way and on the fast path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from garrison.catalog.limits import AmountsSpec, LimitSpec
from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.policy.limits import Meter
from gateway.wired import Wired
from running_fleet import Running, running_fleet, stdio

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
ROLE = RoleSpec(name="dev", grants=(GrantSpec(tools=("*",), resources=("*",)),))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    server = stdio("near", "obedient", session="shared")
    async with running_fleet(tmp_path_factory.mktemp("limits"), (server,), (ROLE,)) as found:
        yield found


async def client(running: Running, era: str, name: str = "") -> Wired:
    wired = Wired(running, era, "/servers/near/mcp", key=running.key("dev", name=name) if name else "")
    return await wired.open()


def meters(running: Running) -> list[Meter]:
    return running.fleet.metering.meters()


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_too_many_calls_are_answered_with_429_and_when_to_come_again(running: Running, era: str) -> None:
    running.fleet.metering.replace({"few": LimitSpec(calls="3/hour")})
    wired = await client(running, era, f"ada-{era}")
    answers = [await wired.call(what="say") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    told = answers[-1].last["error"]
    assert told["code"] == -32054
    assert told["data"]["code"] == "limit.calls"
    assert 1100 < float(told["data"]["retryAfterSeconds"]) <= 1200
    assert 1100 < int(answers[-1].headers["retry-after"]) <= 1200
    assert told["message"].startswith(f"the limit few lets ada-{era} use 3 calls per hour")
    refused = [entry for entry in running.records() if entry.outcome == "limit.calls"]
    assert refused, "it is on the record"
    other = await client(running, era, f"bob-{era}")
    assert (await other.call(what="say")).status == 200
    for one in (wired, other):
        await one.hang_up()


async def test_calls_on_the_fast_path_are_counted_and_refused_like_all_others(running: Running) -> None:
    running.fleet.metering.replace({"some": LimitSpec(calls="20/hour", concurrent=5, bytes_out="1M/hour")})
    wired, fast = await client(running, "modern", "carl"), running.fleet.gateway._fast
    before = fast.taken
    answers = [(await wired.call(what="say")).status for _ in range(25)]
    assert answers == [200] * 20 + [429] * 5
    assert fast.taken - before >= 10
    (meter,) = meters(running)
    assert meter.in_flight == 0
    assert meter.refused == 5
    left = {metric: purse.left(running.fleet.metering.now_s(), 0) for metric, purse in meter.purses}
    assert left["calls"] < 1
    assert left["bytes_out"] < 1e6 - 20 * 10
    (used,) = [one for one in running.fleet.metering.used_up() if one.name == "carl"]
    assert (used.calls, used.refused, used.tool) == (20, 5, "do")
    assert used.bytes_in > 20 * 100
    await wired.hang_up()


async def test_another_rule_counts_from_the_next_call_on_also_on_the_fast_path(running: Running) -> None:
    running.fleet.metering.replace({})
    wired, fast = await client(running, "modern", "dora"), running.fleet.gateway._fast
    for _ in range(5):
        assert (await wired.call(what="say")).status == 200
    before = fast.taken
    assert (await wired.call(what="say")).status == 200
    assert fast.taken == before + 1
    running.fleet.metering.replace({"two": LimitSpec(calls="2/hour")})
    assert [(await wired.call(what="say")).status for _ in range(3)] == [200, 200, 429]
    running.fleet.metering.replace({})
    assert (await wired.call(what="say")).status == 200
    await wired.hang_up()


async def test_what_a_server_answers_with_an_error_is_given_back_as_a_call_at_once(running: Running) -> None:
    running.fleet.metering.replace({"one": LimitSpec(concurrent=1)})
    wired = await client(running, "modern", "emma")
    for what in ("say", "refuse", "fail", "say", "say", "nonsense"):
        await wired.call(what=what)
    assert [meter.in_flight for meter in meters(running)] == [0]
    await wired.hang_up()


async def test_calls_at_once_are_refused_until_one_is_answered(running: Running) -> None:
    running.fleet.metering.replace({"one": LimitSpec(concurrent=2)})
    key = running.key("dev", name="finn")
    clients = [await Wired(running, "modern", "/servers/near/mcp", key=key).open() for _ in range(3)]
    waiting = [asyncio.ensure_future(one.call(what="wait", seconds=1.0)) for one in clients[:2]]
    async with asyncio.timeout(10):
        while sum(meter.in_flight for meter in meters(running)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    refused = await clients[2].call(what="say")
    assert (refused.status, refused.code) == (429, "limit.concurrent")
    await asyncio.gather(*waiting)
    assert (await clients[2].call(what="say")).status == 200
    for one in clients:
        await one.hang_up()


async def test_quotas_and_the_tightest_of_several(running: Running) -> None:
    running.fleet.metering.replace(
        {"rate": LimitSpec(calls="2/second"), "quota": LimitSpec(daily=AmountsSpec(calls=2), per=())}
    )
    wired = await client(running, "modern", "gina")
    answers = [await wired.call(what="say") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[-1].code == "limit.daily_calls"
    assert int(answers[-1].headers["retry-after"]) > 1
    await wired.hang_up()
    running.fleet.metering.replace({})
