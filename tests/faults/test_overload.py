"""Five times the load that the gateway is let take, from clients that never wait: what it does is hardly less."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from brought_up import brought_up
from faults.load import Caller, Load, load

pytestmark = pytest.mark.slow

AT_ONCE = 8
STEP_S = 0.05
"""What each call takes at the server, so that the capacity is known: 160 calls a second."""
MEASURED_S = 2.0
GOODPUT_MIN = 0.7


async def ok_per_s(calls: Load) -> float:
    """How many results come in a second, once it has begun."""
    await asyncio.sleep(0.5)
    before, began_s = calls.outcomes["ok"], time.monotonic()
    await asyncio.sleep(MEASURED_S)
    return (calls.outcomes["ok"] - before) / (time.monotonic() - began_s)


async def test_five_times_the_load_takes_little_of_what_is_done(tmp_path: Path) -> None:
    async with brought_up(tmp_path, limits={"concurrent_calls_of_all": AT_ONCE}) as up:
        new = lambda: Caller(up.url, up.key)  # noqa: E731
        async with load(new, AT_ONCE, "slow", steps=1, step_s=STEP_S) as calm:
            alone = await ok_per_s(calm)
        before_kib = up.rss_kib()
        async with load(new, 5 * AT_ONCE, "slow", pause_s=STEP_S, steps=1, step_s=STEP_S) as storm:
            goodput = await ok_per_s(storm)
        grown_kib = up.rss_kib() - before_kib
        share = goodput / alone
        print(f"{alone:.0f} calls/s alone, {goodput:.0f} under five times the load: {share:.0%}")  # noqa: T201
        print(f"{dict(storm.outcomes)}; grown by {grown_kib} KiB")  # noqa: T201
        assert calm.outcomes.keys() == {"ok"}
        assert storm.hung == 0
        assert storm.outcomes.keys() == {"ok", "-32056"}, "served, or told to come later"
        assert storm.outcomes["-32056"] > storm.outcomes["ok"], "they did come five times as often"
        assert share >= GOODPUT_MIN
        assert grown_kib < 16 * 1024
