"""A worker or the node is killed, or all are asked to end: what clients notice, and what is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from brought_up import Up, fixture_server, write
from command_line import Shell
from faults.load import Caller, load
from garrison.kernel.home import Home
from garrison.runtimes import strays
from garrison.surfaces.launch import fleet_id
from runtimes.small_fleet import alive

pytestmark = pytest.mark.slow
SINGLE = httpx2.Limits(max_keepalive_connections=0)


@asynccontextmanager
async def two_workers(folder: Path, **settings: dict[str, object]) -> AsyncIterator[Up]:
    write(folder, {"one": fixture_server("modern_only")}, **settings)
    shell = Shell(folder)
    await asyncio.to_thread(shell, "up", "--workers", "2", code=0)
    try:
        yield Up(shell)
    finally:
        await asyncio.to_thread(shell, "down", code=0)


def second(up: Up) -> dict[str, Any]:
    row: dict[str, Any] = up.shell("status", "--output", "json").json["workers"][0]
    return row


async def until(true: Callable[[], bool], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_worker_killed_under_load_comes_back_and_the_ledger_is_whole(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as up, httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
        before, sessions = second(up), [await begin(up, http) for _ in range(4)]
        async with load(lambda: Caller(up.url, up.key), 12, "echo", pause_s=0.005, text="x") as calls:
            await until(lambda: calls.outcomes["ok"] > 200)
            os.kill(before["pid"], signal.SIGKILL)
            await until(lambda: not alive(before["pid"]))
            for session in sessions:
                answer = await echo(up, http, session)
                while "worker.lost" in answer.text:  # it was sent to the worker that was just dying
                    answer = await echo(up, http, session)
                assert "result" in answer.text, "any worker can go on with any session"
            was = calls.outcomes["ok"]
            await until(lambda: calls.outcomes["ok"] > was + 400)
            await until(lambda: second(up)["state"] == "running")
        assert calls.hung == 0
        assert calls.outcomes.keys() <= {"ok", "IncompleteReadError", "ConnectionResetError"}, dict(calls.outcomes)
        assert second(up)["restarts"] == 1
        assert up.shell("audit", "verify", code=0)
        answers = [(await up.call(http, "echo", text="x")).status_code for _ in range(8)]
        assert answers == [200] * 8
        assert (await http.get(f"{up.url}/readyz")).status_code == 200


async def test_when_the_node_is_killed_no_worker_is_left_and_all_come_back(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as up, httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
        orphan = second(up)["pid"]
        os.kill(up.pid, signal.SIGKILL)
        await until(lambda: not alive(orphan))
        node = up.shell.home / "run" / "node.json"
        await until(lambda: json.loads(node.read_text())["pid"] != up.pid)
        await until(lambda: up.shell("status", "--output", "json").json.get("settled", False))
        answers = [(await up.call(http, "echo", text="x")).status_code for _ in range(8)]
        assert answers == [200] * 8
        assert up.shell("audit", "verify", code=0)


async def test_down_drains_both_and_leaves_nothing(tmp_path: Path) -> None:
    async with two_workers(tmp_path, edge={"drain_s": 10}) as up, httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
        pids = [up.pid, second(up)["pid"]]
        in_flight = [asyncio.ensure_future(up.slow(http, 1.5)) for _ in range(8)]
        await asyncio.sleep(0.7)
        await asyncio.to_thread(up.shell, "down", code=0)
        answers = [answer.json() for answer in await asyncio.gather(*in_flight)]
        assert all("result" in answer for answer in answers), answers
        assert not any(alive(pid) for pid in pids)
        assert strays.find(fleet_id(Home(up.shell.home))) == []
        assert not list((up.shell.home / "run").glob("*.sock"))


async def test_limits_hold_for_both_together(tmp_path: Path) -> None:
    limits: dict[str, object] = {"concurrent_calls": 6, "calls_per_s": 5, "burst": 60}
    async with two_workers(tmp_path, limits=limits) as up, httpx2.AsyncClient(timeout=30, limits=SINGLE) as http:
        waiting = [asyncio.ensure_future(up.slow(http, 2)) for _ in range(6)]
        await asyncio.sleep(0.8)
        more = [await up.slow(http, 0) for _ in range(6)]
        assert [answer.status_code for answer in more] == [429] * 6, "six are in flight, wherever they are"
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 6
        await asyncio.sleep(0.5)
        codes = []
        while codes.count(200) < 200 and codes[-8:] != [429] * 8:
            codes.append((await up.call(http, "echo", text="x")).status_code)
        assert 20 <= codes.count(200) <= 140, "one allowance for both, not one for each; time adds five a second"


async def echo(up: Up, http: httpx2.AsyncClient, session: dict[str, str]) -> httpx2.Response:
    params = {"name": "echo", "arguments": {"text": "x"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    try:
        return await http.post(f"{up.url}/servers/one/mcp", json=body, headers=session)
    except (httpx2.ReadError, httpx2.RemoteProtocolError):
        return await echo(up, http, session)  # it was connected to the worker that was just dying


async def begin(up: Up, http: httpx2.AsyncClient) -> dict[str, str]:
    headers = {"authorization": f"Bearer {up.key}", "accept": "application/json, text/event-stream"}
    params = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "t", "version": "1"}, "capabilities": {}}
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    answer = await http.post(f"{up.url}/servers/one/mcp", json=body, headers=headers)
    return {**headers, "mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}


async def test_what_a_worker_that_was_given_up_had_to_serve_is_served_all_the_same(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as up, httpx2.AsyncClient(timeout=20, limits=SINGLE) as http:
        sessions = [await begin(up, http) for _ in range(4)]
        async with asyncio.timeout(60):
            while (row := await asyncio.to_thread(second, up))["state"] != "given up":
                if row["pid"]:
                    os.kill(row["pid"], signal.SIGKILL)
                await asyncio.sleep(0.1)
        answers = [(await up.call(http, "echo", text="x")).status_code for _ in range(8)]
        assert answers == [200] * 8
        said = [(await echo(up, http, session)).text for session in sessions]
        assert all("result" in each for each in said), said
        assert (await http.get(f"{up.url}/readyz")).status_code == 503
        assert (await http.get(f"{up.url}/healthz")).status_code == 503
