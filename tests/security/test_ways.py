"""The ways themselves: each reaches the server, and what one principal may not do it may not do on any of them."""

from __future__ import annotations

import pytest

from garrison.catalog.spec import GrantSpec, RoleSpec
from running_fleet import StartFleet, stdio
from security.ways import ALL, WAYS, on

pytestmark = pytest.mark.slow


async def test_each_way_reaches_the_server(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "everything", session="shared"), profiles=(ALL,))
    for way in WAYS:
        async with on(way, running) as caller:
            assert (await caller.call("add", a=1, b=2)).allowed, way
            assert "add" in await caller.tools(), way


async def test_a_tool_that_is_not_listed_cannot_be_called_on_any_way(start_fleet: StartFleet) -> None:
    reader = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), tools=("echo",)),))
    running = await start_fleet(stdio("one", "everything", session="shared"), roles=(reader,), profiles=(ALL,))
    key = running.key("reader")
    for way in WAYS:
        async with on(way, running, key) as caller:
            assert await caller.tools() == {"echo"}, way
            assert (await caller.call("echo", text="a")).allowed, way
            assert not (await caller.call("add", a=1, b=2)).allowed, way
