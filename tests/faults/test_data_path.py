"""The data path while something breaks: clients that go away, servers that are killed, a configuration that changes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from brought_up import Up, brought_up, fixture_server, write
from era_clients import EraClient, era_clients
from faults.load import Caller, load
from garrison.catalog.spec import ServerSpec
from remote_servers import remote
from running_fleet import Running, running_fleet, stdio
from runtimes.small_fleet import until

pytestmark = pytest.mark.slow

PROMISE_S = 1.0
"""Within which a server is told that nobody waits; plus what a busy machine may add."""


async def heard(client: EraClient) -> list[str]:
    got = await client.call("slow", steps=0)
    found: list[str] = json.loads(got.result["content"][0]["text"])
    return found


@asynccontextmanager
async def one_server(folder: Path, script: str, transport: str) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        spec = stdio("one", script)
        if transport == "http":
            spec = ServerSpec(name="one", transport="http", url=await stack.enter_async_context(remote(script)))
        yield await stack.enter_async_context(running_fleet(folder, (spec,)))


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("script", ["legacy_only", "modern_only"])
async def test_a_client_that_hangs_up_ends_its_call_at_the_server(tmp_path: Path, script: str, transport: str) -> None:
    async with one_server(tmp_path, script, transport) as running, era_clients(running) as clients:
        witness = await clients.get("modern", "/servers/one/mcp")
        began_s = time.monotonic()
        before = await heard(witness)
        reference_s = time.monotonic() - began_s
        caller = Caller(running.url, running.admin_key)
        _, writer = await caller.streams()
        writer.write(caller.request("slow", steps=1000, step_s=0.05))
        await until(lambda: running.fleet.gateway.shed.in_flight == 1)
        began_s = time.monotonic()
        caller.close()
        async with asyncio.timeout(20):
            while "ended early" not in (new := (await heard(witness))[len(before) :]):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        took_s = time.monotonic() - began_s
        print(f"{script} over {transport} was told after {took_s * 1000:.0f} ms")  # noqa: T201
        assert took_s < PROMISE_S + 50 * reference_s
        assert ("stream closed" if (script, transport) == ("modern_only", "http") else "notification") in new
        assert running.fleet.gateway.shed.in_flight == 0
        assert [entry.outcome for entry in running.records() if entry.outcome == "call.cancelled"] == ["call.cancelled"]


async def test_servers_killed_under_load_end_each_call_once_and_come_back(tmp_path: Path) -> None:
    async with running_fleet(tmp_path, (stdio("one", "modern_only"), stdio("two", "modern_only"))) as running:
        observed = running.fleet.supervisor.observed
        new = lambda: Caller(running.url, running.admin_key)  # noqa: E731
        beside = lambda: Caller(running.url, running.admin_key, "two")  # noqa: E731
        away_s = []
        async with (
            load(new, 12, "slow", steps=1, step_s=0.01, pause_s=0.02) as calls,
            load(beside, 4, "slow", steps=1, step_s=0.01, pause_s=0.02) as others,
        ):
            for _ in range(2):
                await until(lambda: observed()["one"].state == "running", 30)
                ok = calls.outcomes["ok"]
                await until(lambda: calls.outcomes["ok"] > ok + 50, 60)  # noqa: B023
                began_s, ok = time.monotonic(), calls.outcomes["ok"]
                os.kill(observed()["one"].pid, signal.SIGKILL)
                lost = calls.outcomes["-32055"]
                await until(lambda: calls.outcomes["-32055"] > lost and calls.outcomes["ok"] > ok + 24, 60)  # noqa: B023
                away_s.append(time.monotonic() - began_s)
        print(f"{dict(calls.outcomes)}; answering again after {[f'{each:.1f} s' for each in away_s]}")  # noqa: T201
        assert calls.hung == others.hung == 0
        assert calls.outcomes.keys() <= {"ok", "-32055", "-32056"}, "a result, an unknown outcome, or not available"
        assert others.outcomes.keys() == {"ok"}, "its neighbour is not touched"
        assert calls.outcomes["-32055"] <= 2 * 12, "at most what was in flight"
        ends = [
            entry for entry in running.records() if entry.server == "one" and entry.kind in ("call.outcome", "refusal")
        ]
        assert len(ends) == calls.total, "each call has one end on the record"


async def test_a_changed_configuration_takes_over_without_dropping_a_call(tmp_path: Path) -> None:
    servers = {"one": fixture_server("modern_only"), "gone": fixture_server("modern_only")}
    async with brought_up(tmp_path, servers) as up:
        new = lambda: Caller(up.url, up.key)  # noqa: E731
        async with load(new, 8, "slow", steps=1, step_s=0.01) as calls:
            before = calls.total
            took_s = []
            for changed in _changes():
                write(tmp_path, changed)
                began_s = time.monotonic()
                await asyncio.to_thread(up.shell, "up", code=0)
                took_s.append(time.monotonic() - began_s)
        told = f"{calls.total - before} calls during {len(took_s)} reloads of {max(took_s):.1f} s at most"
        print(f"{told}: {dict(calls.outcomes)}")  # noqa: T201
        assert calls.hung == 0
        assert calls.outcomes.keys() == {"ok"}
        await _serves(up, "new")


def _changes() -> list[dict[str, object]]:
    """A server more, one less, and the one that is called started anew with other settings."""
    one = fixture_server("modern_only")
    return [
        {"one": one, "gone": one, "new": one},
        {"one": one, "new": one},
        {"one": {**one, "env": {"CHANGED": "1"}}, "new": one},
    ]


async def _serves(up: Up, server: str) -> None:
    async with httpx2.AsyncClient(timeout=20) as http:
        answer = await up.call(http, "echo", server=server, text="there")
    assert "there" in answer.text
