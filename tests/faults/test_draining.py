"""SIGTERM with calls in flight, to the real process: they finish, whoever comes is told so, and the end is in time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from command_line import Shell
from running_fleet import SERVERS
from runtimes.small_fleet import alive

pytestmark = pytest.mark.slow

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


class Up:
    """A fleet that was brought up by the command line."""

    def __init__(self, shell: Shell) -> None:
        node = json.loads((shell.home / "run" / "node.json").read_text())
        self.pid: int = node["pid"]
        self.url: str = node["url"]
        self.key = (shell.home / "admin.key").read_text().strip()

    async def slow(self, http: httpx2.AsyncClient, seconds: float) -> httpx2.Response:
        params = {"name": "slow", "arguments": {"steps": 1, "step_s": seconds}, "_meta": META}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {
            "authorization": f"Bearer {self.key}",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "slow",
        }
        return await http.post(f"{self.url}/servers/one/mcp", json=body, headers=headers)

    async def gone(self, within_s: float) -> float:
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            while alive(self.pid):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return time.monotonic() - began


@asynccontextmanager
async def brought_up(folder: Path, drain_s: float) -> AsyncIterator[Up]:
    command: Any = [sys.executable, str(SERVERS / "modern_only.py")]
    document = {
        "servers": {"one": {"command": command}},
        "settings": {"edge": {"listen": "127.0.0.1:0", "drain_s": drain_s}},
    }
    (folder / "garrison.yaml").write_text(json.dumps(document))
    shell = Shell(folder)
    await asyncio.to_thread(shell, "up", code=0)
    try:
        yield Up(shell)
    finally:
        await asyncio.to_thread(shell, "down")


async def test_calls_in_flight_finish_and_new_ones_are_sent_elsewhere(tmp_path: Path) -> None:
    async with brought_up(tmp_path, drain_s=10) as up, httpx2.AsyncClient(timeout=20) as http:
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
    async with brought_up(tmp_path, drain_s=1) as up, httpx2.AsyncClient(timeout=20) as http:
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
