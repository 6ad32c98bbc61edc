"""The breaker in front of real servers that hang up, hang and come back."""

from __future__ import annotations

import pytest

from garrison.surfaces.setting_groups.calls import BreakerSettings
from garrison.surfaces.settings import Settings
from garrison.telemetry.exposition import render
from running_fleet import Running, StartFleet, stdio

pytestmark = pytest.mark.slow

QUICK = Settings(breaker=BreakerSettings(open_first_s=2.0))


async def call(running: Running, tool: str, server: str = "one", **arguments: object) -> tuple[int, dict[str, object]]:
    """Status and error of one modern call to a transparent endpoint; an empty error when it went well."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": tool}
    response = await running.post(f"/servers/{server}/mcp", body, **headers)
    return response.status_code, {
        **response.json().get("error", {}),
        "retry-after": response.headers.get("retry-after"),
    }


async def test_a_server_that_never_answers_is_left_alone_and_says_when_to_come_back(start_fleet: StartFleet) -> None:
    running = await start_fleet(
        stdio("one", "legacy_only", session="shared", timeout_s=0.1), stdio("two", "legacy_only"), settings=QUICK
    )
    for _ in range(5):
        _, error = await call(running, "slow", steps=1, step_s=5)
        assert error["code"] == -32055
    status, error = await call(running, "echo", text="hello")
    assert (status, error["code"]) == (503, -32056)
    assert "server one" in str(error["message"])
    assert 1 <= int(str(error["retry-after"])) <= 2
    assert running.fleet.gateway.breaker.state("one") == "open"
    assert 'garrison_breaker_state{garrison_server_name="one"} 1' in render(running.fleet.metrics).decode()
    assert (await call(running, "echo", "two", text="a neighbour"))[0] == 200
    assert "breaker.open" in {entry.outcome for entry in running.records()}, "refusals are on the record"


async def test_a_server_that_recovers_is_tried_out_and_used_again(start_fleet: StartFleet) -> None:
    settings = Settings(breaker=BreakerSettings(open_first_s=0.01))
    running = await start_fleet(stdio("one", "legacy_only", session="shared", timeout_s=0.1), settings=settings)
    for _ in range(5):
        await call(running, "slow", steps=1, step_s=5)
    assert running.fleet.gateway.breaker.state("one") == "open"
    for _ in range(11):
        assert (await call(running, "echo", text="hello"))[0] == 200
    assert running.fleet.gateway.breaker.state("one") == "closed"


async def test_a_servers_own_errors_are_answers_and_do_not_count(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"), settings=QUICK)
    for _ in range(30):
        await call(running, "fail", message="as a tool does")
        await call(running, "refuse", code=-32050)
    assert running.fleet.gateway.breaker.state("one") == "closed"
