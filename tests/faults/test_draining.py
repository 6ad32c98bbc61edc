"""SIGTERM with calls in flight, to the real process: they finish, whoever comes is told so, and the end is in time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import httpx2
import pytest

from brought_up import brought_up
from faults.load import Caller, load

pytestmark = pytest.mark.slow


async def test_calls_in_flight_finish_and_new_ones_are_sent_elsewhere(tmp_path: Path) -> None:
    async with brought_up(tmp_path, edge={"drain_s": 10}) as up, httpx2.AsyncClient(timeout=20) as http:
        in_flight = [asyncio.ensure_future(up.slow(http, 1.5)) for _ in range(5)]
        await asyncio.sleep(0.5)
        os.kill(up.pid, signal.SIGTERM)
        refused = await up.slow(http, 0)
        async with asyncio.timeout(20):
            while refused.status_code != 503:
                refused = await up.slow(http, 0)
        assert refused.headers["connection"] == "close"
        assert refused.headers["retry-after"] == "5"
        assert refused.json()["error"]["data"]["code"] == "gateway.draining"
        assert (await http.get(f"{up.url}/readyz")).status_code == 503
        assert [answer.status_code for answer in await asyncio.gather(*in_flight)] == [200] * 5
        took_s = await up.gone(20)
        print(f"gone {took_s:.2f} s after the last answer")  # noqa: T201


async def test_a_call_that_does_not_finish_is_answered_and_the_end_is_in_time(tmp_path: Path) -> None:
    async with brought_up(tmp_path, edge={"drain_s": 1}) as up, httpx2.AsyncClient(timeout=20) as http:
        stuck = asyncio.ensure_future(up.slow(http, 60))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        os.kill(up.pid, signal.SIGTERM)
        answer = await stuck
        assert answer.json()["error"]["code"] == -32055
        await up.gone(20)
        took_s = time.monotonic() - began
        print(f"gone after {took_s:.2f} s")  # noqa: T201
        assert took_s < 20, "the drain limit is a second; the call would take sixty"


async def test_a_stop_under_load_loses_nothing_that_was_begun(tmp_path: Path) -> None:
    async with brought_up(tmp_path, edge={"drain_s": 10}) as up:
        async with load(lambda: Caller(up.url, up.key), 12, "slow", pause_s=0.02, steps=1, step_s=0.1) as calls:
            async with asyncio.timeout(20):
                while calls.outcomes["ok"] < 50:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            os.kill(up.pid, signal.SIGTERM)
            await up.gone(20)
        print(dict(calls.outcomes))  # noqa: T201
        assert calls.hung == 0
        assert "-32055" not in calls.outcomes, "none was given up"
        assert calls.outcomes.keys() <= {
            "ok",
            "-32056",
            "IncompleteReadError",
            "ConnectionRefusedError",
            "ConnectionResetError",
        }
