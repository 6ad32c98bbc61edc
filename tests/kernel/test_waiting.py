"""Limits that hold even while everything around them is being cancelled."""

from __future__ import annotations

import asyncio

import pytest

from garrison.kernel.waiting import in_time


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def fails() -> None:
    raise ZeroDivisionError


async def test_a_result_in_time_is_given_and_an_error_raised() -> None:
    assert await in_time(answer(), 5) == 42
    with pytest.raises(ZeroDivisionError):
        await in_time(fails(), 5)


async def test_what_takes_too_long_is_cancelled_and_has_ended() -> None:
    cleaned_up = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned_up.append(True)

    with pytest.raises(TimeoutError):
        await in_time(slow(), 0.01)
    assert cleaned_up == [True]


async def test_the_limit_holds_in_a_task_that_is_being_cancelled() -> None:
    seen = []

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            try:
                await in_time(asyncio.sleep(60), 0.01)
            except TimeoutError:
                seen.append("time is up, and the clean-up goes on")

    task = asyncio.ensure_future(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert seen == ["time is up, and the clean-up goes on"]
    assert task.cancelled()
