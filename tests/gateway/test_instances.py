"""Several instances of one server behind the gateway: real processes and real sockets that die, hang and disagree."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from extras_fleet import extras, flags
from garrison.catalog.spec import ServerSpec
from garrison.runtimes.instance import Observed
from garrison.surfaces.fleet_metrics import add_fleet_metrics
from garrison.surfaces.setting_groups.calls import LimitSettings, RetrySettings, SpreadSettings
from garrison.surfaces.setting_groups.supervisor import SupervisorSettings
from garrison.surfaces.settings import Settings
from garrison.surfaces.status import server_row
from garrison.telemetry.exposition import render
from gateway.flaky import flaky
from remote_servers import remote
from running_fleet import Running, StartFleet, stdio
from speaking import speaking

pytestmark = pytest.mark.slow

MODERN = "2026-07-28"
WATCHFUL = Settings(supervisor=SupervisorSettings(health_interval_s=0.1, health_timeout_s=1.0, health_failures_max=2))
NO_RETRIES = Settings(retry=RetrySettings(retries_max=0))


async def call(running: Running, tool: str, **arguments: object) -> dict[str, Any]:
    """The answer to one call of a modern client that cannot be asked: it needs no connection of its own."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"mcp_protocol_version": MODERN, "mcp_method": "tools/call", "mcp_name": tool}
    answer: dict[str, Any] = (await running.post("/servers/one/mcp", body, **headers)).json()
    return answer


async def said(running: Running, tool: str, **arguments: object) -> str:
    """What a tool says. Raises when the call fails."""
    answer = await call(running, tool, **arguments)
    assert "error" not in answer, answer
    return str(answer["result"]["content"][0]["text"])


def seen(running: Running) -> Observed:
    return running.fleet.supervisor.observed()["one"]


def row(running: Running) -> dict[str, Any]:
    upstream = running.fleet.directory.upstreams["one"]
    return server_row(upstream.spec, seen(running), upstream, running.fleet.gateway.breaker.state("one"))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@asynccontextmanager
async def load(work: Callable[[], Any], at_once: int = 4) -> AsyncIterator[list[Any]]:
    """Calls without a pause while the block runs; what came of each."""
    outcomes: list[Any] = []
    ends = False

    async def go_on() -> None:
        while not ends:
            outcomes.append(await work())

    tasks = [asyncio.ensure_future(go_on()) for _ in range(at_once)]
    try:
        yield outcomes
    finally:
        ends = True
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("script", ["legacy_only", "modern_only"])
async def test_calls_are_spread_over_the_processes(start_fleet: StartFleet, script: str) -> None:
    running = await start_fleet(stdio("one", script, instances=3, session="shared"))
    counts = [int(await said(running, "count")) for _ in range(9)]
    assert Counter(counts) == {1: 3, 2: 3, 3: 3}


async def test_the_death_of_one_instance_is_nobodys_problem(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only", instances=3, retry_idempotent=True))
    assert row(running)["instances"]["ready"] == 3
    async with load(lambda: call(running, "echo", text="hello")) as outcomes:
        await until(lambda: len(outcomes) > 20)
        os.kill(seen(running).each[1].pid, 9)
        await until(lambda: seen(running).ready == 2)
        told = row(running)
        await until(lambda: seen(running).ready == 3)
        answered = len(outcomes)
        await until(lambda: len(outcomes) > answered + 20)
    assert [outcome for outcome in outcomes if "error" in outcome] == []
    assert (told["state"], told["instances"]["ready"], told["instances"]["wanted"]) == ("running", 2, 3)
    assert [one["state"] == "running" for one in told["instances"]["each"]] == [True, False, True]


async def test_a_restart_of_all_instances_costs_no_call(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only", instances=2), settings=NO_RETRIES)
    before = {one.pid for one in seen(running).each}
    async with load(lambda: call(running, "slow", steps=1, step_s=0.05)) as outcomes:
        await until(lambda: len(outcomes) > 4)
        await running.fleet.supervisor.restart("one")
        answered = len(outcomes)
        await until(lambda: len(outcomes) > answered + 4)
    assert [outcome for outcome in outcomes if "error" in outcome] == []
    assert not before & {one.pid for one in seen(running).each}


async def test_an_instance_that_fails_is_soon_left_out(
    start_fleet: StartFleet,
) -> None:
    async with flaky() as good, flaky() as bad:
        spec = ServerSpec(name="one", transport="http", url=good.url, urls=(bad.url,))
        running = await start_fleet(spec)
        bad.method, bad.hang_ups = "tools/call", 1000
        outcomes = [await call(running, "write") for _ in range(30)]
        assert len([outcome for outcome in outcomes if "error" in outcome]) == 3
        assert bad.asked.count("tools/call") == 3
        assert row(running)["state"] == "running"
        assert [one["left_alone"] for one in row(running)["instances"]["each"]] == [False, True]
        add_fleet_metrics(running.fleet)
        told = 'garrison_instance_left_alone{garrison_server_name="one",garrison_instance_number="2"} 1'
        assert told in render(running.fleet.metrics).decode()


async def test_an_instance_that_is_much_slower_is_left_out(start_fleet: StartFleet) -> None:
    async with flaky() as quick, flaky() as slow:
        spec = ServerSpec(name="one", transport="http", url=quick.url, urls=(slow.url,))
        running = await start_fleet(spec, settings=Settings(spread=SpreadSettings(eject_first_s=600, eject_max_s=600)))
        slow.method, slow.delay_s = "tools/call", 0.2
        async with load(lambda: call(running, "write"), at_once=2):
            await until(lambda: [one["left_alone"] for one in row(running)["instances"]["each"]] == [False, True])
        asked = slow.asked.count("tools/call")
        for _ in range(10):
            assert "error" not in await call(running, "write")
        assert slow.asked.count("tools/call") == asked


async def test_a_retry_goes_to_another_instance(start_fleet: StartFleet) -> None:
    async with flaky() as good, flaky() as bad:
        spec = ServerSpec(name="one", transport="http", url=good.url, urls=(bad.url,), retry_idempotent=True)
        running = await start_fleet(spec)
        bad.method, bad.hang_ups = "tools/call", 1
        for _ in range(2):
            assert "error" not in await call(running, "read")
        assert bad.hang_ups == 0
        assert good.asked.count("tools/call") + bad.asked.count("tools/call") == 3


async def test_an_address_that_dies_under_load_is_nobodys_problem(start_fleet: StartFleet) -> None:
    async with flaky() as one, flaky() as other:
        spec = ServerSpec(name="one", transport="http", url=one.url, urls=(other.url,), retry_idempotent=True)
        running = await start_fleet(spec, settings=WATCHFUL)
        async with load(lambda: call(running, "read")) as outcomes:
            await until(lambda: len(outcomes) > 20)
            other.end()
            await until(lambda: seen(running).ready == 1)
            answered = len(outcomes)
            await until(lambda: len(outcomes) > answered + 20)
        assert [outcome for outcome in outcomes if "error" in outcome] == []
        assert row(running)["state"] == "running"


async def test_what_instances_do_not_all_have_is_not_offered_and_that_is_said(start_fleet: StartFleet) -> None:
    async with flaky() as one, flaky() as other:
        newer = {"name": "newer", "inputSchema": {"type": "object"}}
        one.tools, other.tools = [*one.tools[:2], newer], [*one.tools[:2], {**newer, "name": "newest"}]
        running = await start_fleet(ServerSpec(name="one", transport="http", url=one.url, urls=(other.url,)))
        async with running.client("/servers/one/mcp") as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {"read", "write"}
        assert list(running.fleet.directory.upstreams["one"].tools) == ["read", "write"]
        assert "instance 1: newest; instance 2: newer" in row(running)["error"]
        assert row(running)["state"] == "running"


async def test_a_remote_address_that_is_dead_from_the_start_harms_nobody(start_fleet: StartFleet) -> None:
    async with flaky() as alive:
        dead = "http://127.0.0.1:9/mcp"
        running = await start_fleet(ServerSpec(name="one", transport="http", url=dead, urls=(alive.url,)))
        assert (row(running)["state"], row(running)["instances"]["ready"]) == ("running", 1)
        assert row(running)["error"].startswith("instance 1 is backoff")
        for _ in range(4):
            assert "error" not in await call(running, "write")
        for mode in ("legacy", "auto"):
            async with running.client("/servers/one/mcp", mode) as client:
                assert not (await client.call_tool("write", {})).is_error


async def test_a_session_stays_where_it_began_and_sessions_are_spread(start_fleet: StartFleet) -> None:
    async with remote("legacy_only") as first, remote("legacy_only") as second:
        running = await start_fleet(ServerSpec(name="one", transport="http", url=first, urls=(second,)))
        found = []
        async with (
            running.client("/servers/one/mcp", "legacy") as one,
            running.client("/servers/one/mcp", "legacy") as two,
        ):
            for _ in range(3):
                found += [(await client.call_tool("count", {})).content[0].text for client in (one, two)]
        assert found == ["1", "1", "2", "2", "3", "3"]


async def test_a_session_whose_instance_dies_goes_on_at_another(start_fleet: StartFleet) -> None:
    async with flaky() as first, flaky() as second:
        spec = ServerSpec(name="one", transport="http", url=first.url, urls=(second.url,))
        running = await start_fleet(spec, settings=WATCHFUL)
        async with running.client("/servers/one/mcp", "legacy") as client:
            await client.call_tool("write", {})
            home = first if first.asked.count("tools/call") else second
            other = second if home is first else first
            home.end()
            await until(lambda: seen(running).ready == 1)
            await client.call_tool("write", {})
            assert other.asked.count("tools/call") == 1


async def test_an_instance_takes_so_many_calls_at_once_and_not_more(start_fleet: StartFleet) -> None:
    settings = Settings(limits=LimitSettings(concurrent_calls_per_instance=2))
    running = await start_fleet(stdio("one", "modern_only", instances=2), settings=settings)
    outcomes = await asyncio.gather(*(call(running, "slow", steps=1, step_s=1.0) for _ in range(5)))
    codes = [outcome["error"]["data"]["code"] for outcome in outcomes if "error" in outcome]
    assert codes == ["limit.instances_busy"]


async def test_a_lazy_server_starts_all_its_instances_with_the_first_call(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only", instances=2, start="lazy"))
    assert row(running)["instances"] == {**row(running)["instances"], "ready": 0, "wanted": 2}
    assert "error" not in await call(running, "echo", text="hello")
    await until(lambda: seen(running).ready == 2)


@pytest.mark.parametrize("endpoint", ["/mcp", "/servers/one/mcp"])
async def test_a_task_stays_at_the_instance_where_it_began(start_fleet: StartFleet, endpoint: str) -> None:
    running = await start_fleet(extras("one", *flags("modern"), instances=3))
    tasks = {"io.modelcontextprotocol/tasks": {}}
    async with speaking(running, "modern", endpoint, extensions=tasks) as client:
        task = await client.call("one__job" if endpoint == "/mcp" else "job")
        for _ in range(6):  # the other two instances know of no task
            state = await client.result("tasks/get", taskId=task["taskId"])
            assert (state["taskId"], state["status"]) == (task["taskId"], "working")
