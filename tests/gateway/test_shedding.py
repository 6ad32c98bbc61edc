"""Too much at once: what is over the bound is refused at once, and what is in flight is finished."""

from __future__ import annotations

import asyncio
import time

import pytest

from garrison.surfaces.setting_groups.calls import LimitSettings
from garrison.surfaces.settings import Settings
from running_fleet import Running, StartFleet, stdio

pytestmark = pytest.mark.slow


async def call(running: Running, tool: str, **arguments: object) -> tuple[int, dict[str, object], str]:
    """Status, error and `Retry-After` of one modern call."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": f"one__{tool}", "arguments": arguments, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": "my-id", "method": "tools/call", "params": params}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": f"one__{tool}"}
    response = await running.post("/mcp", body, **headers)
    found = response.json()
    assert found["id"] == "my-id"
    return response.status_code, found.get("error", {}), response.headers.get("retry-after", "")


async def test_calls_over_the_bound_are_refused_and_the_others_finished(start_fleet: StartFleet) -> None:
    settings = Settings(limits=LimitSettings(concurrent_calls_of_all=5))
    running = await start_fleet(stdio("one", "modern_only"), settings=settings)
    calls = [call(running, "slow", steps=1, step_s=0.5) for _ in range(25)]
    answers = await asyncio.gather(*calls)
    assert sorted(status for status, _, _ in answers) == [200] * 5 + [503] * 20
    refused = next(answer for answer in answers if answer[0] == 503)
    assert refused[1]["code"] == -32056
    assert refused[2] == "1"
    assert (await call(running, "echo", text="there is room again"))[0] == 200
    assert running.fleet.gateway.shed.in_flight == 0
    assert not [entry for entry in running.records() if entry.outcome == "gateway.overloaded"], "counted, not recorded"


async def test_a_loop_that_stays_late_refuses_new_calls_until_it_keeps_up_again(start_fleet: StartFleet) -> None:
    settings = Settings(limits=LimitSettings(lag_s_max=0.05))
    running = await start_fleet(stdio("one", "modern_only"), settings=settings)
    slow = asyncio.ensure_future(call(running, "slow", steps=1, step_s=1.0))
    statuses = set()
    async with asyncio.timeout(10):
        while 503 not in statuses:
            time.sleep(0.2)  # noqa: ASYNC251  the load: whatever keeps the loop from turning
            await asyncio.sleep(0.001)
            if running.fleet.gateway.shed._late_ticks > 1:
                statuses.add((await call(running, "echo", text="now"))[0])
    assert (await slow)[0] == 200, "what is in flight is finished"
    async with asyncio.timeout(10):
        while (await call(running, "echo", text="again"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_draining_gateway_finishes_and_sends_others_elsewhere(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only"))
    slow = asyncio.ensure_future(call(running, "slow", steps=1, step_s=0.5))
    async with asyncio.timeout(5):
        while not running.fleet.gateway.shed.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    running.fleet.gateway.drain()
    status, error, retry_after = await call(running, "echo", text="too late")
    assert (status, retry_after) == (503, "5")
    assert "shutting down" in str(error["message"])
    assert (await slow)[0] == 200
