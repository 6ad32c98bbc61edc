from __future__ import annotations

import asyncio
from typing import cast

from garrison.surfaces.serving import EdgeServer, drained, public_url_of
from garrison.surfaces.setting_groups.edge import EdgeSettings
from running_fleet import StartFleet, start_fleet

__all__ = ["start_fleet"]


def test_all_addresses_at_once_are_nobodys_url() -> None:
    everywhere, named = "https://0.0.0.0:8443", EdgeSettings(hosts=("mcp.example",))
    assert public_url_of(everywhere, named) == "https://mcp.example:8443"
    assert public_url_of("https://[::]:8443", named) == "https://mcp.example:8443"
    assert public_url_of(everywhere, EdgeSettings()) == ""
    assert public_url_of("https://127.0.0.1:8443", named) == ""
    assert public_url_of(everywhere, EdgeSettings(public_url="https://a.example")) == "https://a.example"


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
