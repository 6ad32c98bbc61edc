"""Several instances of a server, brought up by the command line, with calls coming in all the time: one is killed, all
are restarted, their number is changed. No call may fail of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from brought_up import Up, brought_up, fixture_server, write

pytestmark = pytest.mark.slow

SEVERAL = {**fixture_server("modern_only"), "instances": 2, "retry_idempotent": True}


@asynccontextmanager
async def under_load(up: Up, work: Callable[[httpx2.AsyncClient], Any]) -> AsyncIterator[list[httpx2.Response]]:
    """Four clients that call without a pause; all answers."""
    answers: list[httpx2.Response] = []
    ends = False

    async def go_on() -> None:
        async with httpx2.AsyncClient(timeout=30) as http:
            while not ends:
                answers.append(await work(http))

    clients = [asyncio.ensure_future(go_on()) for _ in range(4)]
    try:
        await more(answers)
        yield answers
        await more(answers)
    finally:
        ends = True
        await asyncio.gather(*clients)


async def more(answers: list[httpx2.Response], count: int = 12) -> None:
    """Until so many further calls were answered."""
    before = len(answers)
    async with asyncio.timeout(30):
        while len(answers) < before + count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def failures(answers: list[httpx2.Response]) -> list[str]:
    return [answer.text for answer in answers if answer.status_code != 200 or "error" in answer.json()]


async def status(up: Up) -> dict[str, Any]:
    said = await asyncio.to_thread(up.shell, "status", "--output", "json")
    found: dict[str, Any] = said.json["servers"][0]
    return found


async def test_kills_restarts_and_another_number_cost_no_call(tmp_path: Path) -> None:
    async with brought_up(tmp_path, {"one": SEVERAL}) as up:
        row = await status(up)
        assert (row["state"], row["tools"], row["error"]) == ("running", row["tools"], "")
        assert (row["instances"]["ready"], row["instances"]["wanted"]) == (2, 2)
        first = [one["pid"] for one in row["instances"]["each"]]

        async with under_load(up, lambda http: up.call(http, "echo", text="hello")) as answers:
            os.kill(first[0], signal.SIGKILL)
            await more(answers)
            assert (await status(up))["state"] == "running"
        assert failures(answers) == []

        async with under_load(up, lambda http: up.slow(http, 0.05)) as answers:
            await asyncio.to_thread(up.shell, "server", "restart", "one", code=0)
        assert failures(answers) == []
        row = await status(up)
        assert row["instances"]["ready"] == 2
        assert not {one["pid"] for one in row["instances"]["each"]} & set(first)

        write(tmp_path, {"one": {**SEVERAL, "instances": 3}})
        async with under_load(up, lambda http: up.slow(http, 0.05)) as answers:
            await asyncio.to_thread(up.shell, "up", code=0)
        assert failures(answers) == []
        table = (await asyncio.to_thread(up.shell, "server", "list", code=0)).out
        assert "3/3" in table

        write(tmp_path, {"one": {**SEVERAL, "instances": 1}})
        async with under_load(up, lambda http: up.slow(http, 0.05)) as answers:
            await asyncio.to_thread(up.shell, "up", code=0)
        assert failures(answers) == []
        assert (await status(up))["instances"] == {"ready": 1, "wanted": 1}
