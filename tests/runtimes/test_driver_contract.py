"""What every driver must do, whichever it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import GarrisonError
from garrison.runtimes.driver import Capability, Driver
from garrison.runtimes.drivers.process import ProcessDriver, Surroundings
from garrison.runtimes.drivers.remote import RemoteDriver
from garrison.runtimes.reaper import Reaper
from runtimes.small_fleet import GOOD, QUICK_GRACES, SmallChannel, python

Made = tuple[Driver, ServerSpec, ServerSpec]
"""A driver, a spec that it can start, and one that it cannot."""


def process(folder: Path) -> Made:
    surroundings = Surroundings("contract", folder, dict(os.environ), graces=QUICK_GRACES)
    wrong = ServerSpec(name="wrong", transport="stdio", command=("no-such-program",))
    return ProcessDriver(surroundings, SmallChannel, Reaper()), python("right", GOOD), wrong


def remote(folder: Path) -> Made:
    right = ServerSpec(name="right", transport="http", url="http://127.0.0.1:9/mcp")
    return RemoteDriver(), right, ServerSpec(name="wrong", transport="stdio", command=("x",))


@pytest.fixture(params=[process, remote])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Made]:
    return lambda: request.param(tmp_path)


async def test_an_instance_lives_from_start_to_stop(make: Callable[[], Made]) -> None:
    driver, right, _ = make()
    instance = await driver.start(right, "i1")
    assert (instance.id, instance.server, instance.spec) == ("i1", "right", right)
    assert driver.inspect(instance).alive
    assert bool(instance.pid) == (Capability.SPAWNS in driver.capabilities)
    await driver.stop(instance)
    assert not driver.inspect(instance).alive


async def test_whoever_waits_hears_of_the_end(make: Callable[[], Made]) -> None:
    driver, right, _ = make()
    instance = await driver.start(right, "i1")
    waiting = asyncio.ensure_future(driver.wait(instance))
    await asyncio.sleep(0)
    assert not waiting.done()
    await driver.stop(instance)
    assert (await waiting).reason
    assert (await driver.wait(instance)).reason


async def test_stopping_twice_or_at_the_same_time_is_harmless(make: Callable[[], Made]) -> None:
    driver, right, _ = make()
    instance = await driver.start(right, "i1")
    await asyncio.gather(driver.stop(instance), driver.stop(instance))
    await driver.stop(instance)


async def test_two_instances_of_one_server_do_not_touch_each_other(make: Callable[[], Made]) -> None:
    driver, right, _ = make()
    one, two = await driver.start(right, "i1"), await driver.start(right, "i2")
    await driver.stop(one)
    assert driver.inspect(two).alive
    await driver.stop(two)


async def test_a_spec_that_cannot_be_started_is_a_typed_error_with_a_hint(make: Callable[[], Made]) -> None:
    driver, _, wrong = make()
    with pytest.raises(GarrisonError) as caught:
        await driver.start(wrong, "i1")
    assert caught.value.code.startswith("server.")
    assert caught.value.hint


async def test_nothing_is_left_to_recover_and_there_is_no_log_of_a_stranger(make: Callable[[], Made]) -> None:
    driver, _, _ = make()
    assert list(await driver.recover()) == []
    assert list(driver.logs("stranger", 5)) == []
