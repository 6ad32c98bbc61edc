"""Limits that several gateways count together, in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from garrison.catalog.limits import AmountsSpec, LimitSpec
from garrison.gateway.metering import Concern, Metering
from garrison.identity.principals import Principal
from garrison.kernel.clock import ManualClock, SystemClock
from garrison.protection.shared_limits import SharedLimits
from garrison.telemetry.metrics import Metrics
from redis_server import free_port, redis_server

ADA = Principal("key:ada", "key", "ada")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


class Gateway:
    """One process: its meters, and its way to what is shared."""

    def __init__(self, url: str, name: str, spec: LimitSpec, rule: str, *, open_without: bool = True) -> None:
        clock = SystemClock()
        self.shared = SharedLimits(url, clock, name, open_without=open_without)
        self.metering = Metering({rule: spec}, clock.monotonic_s, clock.wall_ns, Metrics())
        self.metering.drawing = self.shared

    def concern(self, principal: Principal = ADA) -> Concern:
        found = self.metering.concern(principal, "tool", "git", "log")
        assert found is not None
        return found

    async def call(self, *, ends: bool = True, result: int = 0) -> bool:
        """As the stage does."""
        concern = self.concern()
        while waiting := self.metering.short(concern):
            await self.shared.draw(waiting)
        admitted = self.metering.admits(concern, 10)
        if admitted and ends:
            self.metering.leave(concern, result)
        return admitted

    async def tell(self) -> None:
        await self.shared.tell(self.metering.touched())


@asynccontextmanager
async def gateways(url: str, spec: LimitSpec, rule: str, count: int = 2, **more: Any) -> AsyncIterator[list[Gateway]]:
    made = [Gateway(url, f"g{number}", spec, rule, **more) for number in range(count)]
    try:
        yield made
    finally:
        for gateway in made:
            await gateway.shared.close()


async def test_two_gateways_together_let_in_no_more_than_the_burst(redis: str) -> None:
    async with gateways(redis, LimitSpec(calls="60/hour"), "burst") as both:
        found = [await gateway.call() for _ in range(50) for gateway in both]
    assert sum(found) == 60


async def test_under_load_two_gateways_stay_within_the_rate_and_what_they_drew(redis: str) -> None:
    """Rate 200/s, burst 40: within any time no more than burst + rate·t, and the batches drawn before."""
    spec = LimitSpec(calls="200/second", burst=40)
    loop = asyncio.get_running_loop()
    async with gateways(redis, spec, "rate") as both:
        began_s, admitted = loop.time(), 0

        async def caller(gateway: Gateway) -> None:
            nonlocal admitted
            while loop.time() - began_s < 1.0:
                if await gateway.call():
                    admitted += 1
                else:
                    await asyncio.sleep(0.001)

        await asyncio.gather(*(caller(gateway) for gateway in both for _ in range(4)))
        elapsed_s = loop.time() - began_s
        batches = sum(share.batch for gateway in both for _, share in gateway.concern().shares)
        asked = sum(gateway.shared.asked for gateway in both)
    allowed = 40 + 200 * elapsed_s
    assert admitted <= allowed + batches, "no more than a batch for each gateway too many"
    assert admitted >= 0.5 * allowed, "and what there is can be used"
    assert asked < 3 * admitted, "calls do not all ask"


async def test_calls_are_let_in_from_what_was_drawn_without_asking_each_time(redis: str) -> None:
    async with gateways(redis, LimitSpec(calls="10k/second", burst=10_000), "batch", count=1) as (one,):
        assert all([await one.call() for _ in range(2_000)])
        assert one.shared.asked <= 10


async def test_what_was_drawn_and_not_used_goes_back(redis: str) -> None:
    clock = ManualClock()
    async with gateways(redis, LimitSpec(calls="100/hour"), "back") as (here, there):
        here.shared._clock = clock
        here.metering._now_s = clock.monotonic_s
        assert await here.call()
        for _, share in here.concern().shares:
            share.held += 0  # the batch of a slow rate is one call
        here.shared.ask(here.concern().meters[0])
        await here.shared.draw([])
        clock.advance(5)
        await here.tell()
        assert [share.held for _, share in here.concern().shares] == [0]
        assert sum([await there.call() for _ in range(120)]) == 99


async def test_bytes_and_quotas_used_at_one_gateway_count_at_the_other(redis: str) -> None:
    spec = LimitSpec(bytes_out="1k/hour", daily=AmountsSpec(calls=10))
    async with gateways(redis, spec, "used") as (here, there):
        assert await here.call(result=900)
        assert await there.call(result=200)
        for gateway in (here, there):
            await gateway.tell()
        assert await here.call(), "it has not heard of it yet, and hears of it with its next report"
        await here.tell()
        refusals = [gateway.metering.refusal(gateway.concern(), 10) for gateway in (here, there)]
        assert [found.code for found in refusals if found is not None] == ["limit.bytes_out"] * 2
    async with gateways(redis, LimitSpec(daily=AmountsSpec(calls=4)), "used") as (one, _):
        assert await one.call()
        await one.tell()
        assert not await one.call(), "four of four, by three gateways"


async def test_calls_at_once_are_counted_together(redis: str) -> None:
    async with gateways(redis, LimitSpec(concurrent=3), "flying") as (here, there):
        assert await here.call(ends=False)
        assert await here.call(ends=False)
        await here.tell()
        assert await there.call(ends=False)
        await there.tell()
        assert not await there.call()
        here.metering.leave(here.concern(), 0)
        await here.tell()
        await there.tell()
        for gateway in (there, here):
            await gateway.tell()
        assert [meter.in_flight for meter in here.metering.meters()] == [2]


async def test_a_rule_that_is_not_shared_is_counted_by_each_gateway(redis: str) -> None:
    async with gateways(redis, LimitSpec(calls="2/hour", shared=False), "alone") as both:
        assert [[await gateway.call() for _ in range(3)] for gateway in both] == [[True, True, False]] * 2
        assert [gateway.shared.asked for gateway in both] == [0, 0]


@pytest.mark.parametrize("open_without", [True, False])
async def test_while_redis_is_away_the_setting_decides_and_when_it_is_back_it_counts_again(
    tmp_path: Path, open_without: bool
) -> None:
    port = free_port()
    spec = LimitSpec(calls="5/hour", daily=AmountsSpec(calls=100))
    with redis_server(tmp_path, port) as url:
        gateway = Gateway(url, "g", spec, "away", open_without=open_without)
        assert await gateway.call()
        await gateway.tell()
    gateway.metering.concern(ADA, "tool", "git", "log")
    await gateway.shared.draw(gateway.concern().meters)
    assert gateway.shared.elsewhere.is_away
    assert gateway.shared.state.startswith("away")
    found = gateway.metering.refusal(gateway.concern(), 10)
    if open_without:
        assert found is None
        assert await gateway.call()
    else:
        assert found is not None
        assert found.code == "limit.store_away"
        assert not await gateway.call()
    with redis_server(tmp_path, port):
        async with asyncio.timeout(20):
            while gateway.shared.elsewhere.is_away:
                await gateway.tell()
                await asyncio.sleep(0.05)
        assert gateway.shared.state == "reached"
        assert await gateway.call()
        await gateway.shared.close()


async def test_a_redis_that_forgot_everything_is_told_what_quotas_had_used(tmp_path: Path) -> None:
    port = free_port()
    with redis_server(tmp_path, port) as url:
        gateway = Gateway(url, "g", LimitSpec(daily=AmountsSpec(calls=3)), "forgot")
        assert [await gateway.call() for _ in range(2)] == [True, True]
        await gateway.tell()
    with redis_server(tmp_path, port) as url:
        assert await gateway.call()
        await _until_told(gateway)
        other = Gateway(url, "other", LimitSpec(daily=AmountsSpec(calls=3)), "forgot")
        assert await other.call()
        await other.tell()
        assert not await other.call()
        await other.shared.close()
        await gateway.shared.close()


async def _until_told(gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        while gateway.shared.elsewhere.is_away or any(gateway.metering.meters()[0].spent.values()):
            await gateway.tell()
            await asyncio.sleep(0.05)
