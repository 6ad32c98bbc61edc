from __future__ import annotations

import asyncio
from typing import cast

from garrison.surfaces.serving import EdgeServer, drained
from running_fleet import StartFleet, start_fleet

__all__ = ["start_fleet"]


class _Server:
    force_exit = False


async def test_the_end_waits_for_answers_that_come_from_other_workers(start_fleet: StartFleet) -> None:
    running, waiting, polled = await start_fleet(), 2, 0

    def elsewhere() -> int:
        nonlocal polled
        polled += 1
        return waiting

    ending = asyncio.ensure_future(drained(running.fleet.gateway, cast("EdgeServer", _Server()), 60.0, elsewhere))
    while polled < 3:  # noqa: ASYNC110  there is nothing else to wait for
        await asyncio.sleep(0)
    assert not ending.done()
    waiting = 0
    await asyncio.wait_for(ending, 20)
