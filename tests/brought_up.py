"""A fleet that the command line brought up: a real node in a process of its own, for tests that harm it or weigh it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from command_line import Shell
from running_fleet import SERVERS
from runtimes.small_fleet import alive

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


class Up:
    """`pid`, `url` and `key` of the node as it was when the fleet came up."""

    def __init__(self, shell: Shell) -> None:
        node = json.loads((shell.home / "run" / "node.json").read_text())
        self.shell = shell
        self.pid: int = node["pid"]
        self.url: str = node["url"]
        self.key = (shell.home / "admin.key").read_text().strip()

    async def call(
        self, http: httpx2.AsyncClient, tool: str, *, server: str = "one", **arguments: object
    ) -> httpx2.Response:
        """One modern call on a server's transparent endpoint."""
        params = {"name": tool, "arguments": arguments, "_meta": META}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return await http.post(f"{self.url}/servers/{server}/mcp", json=body, headers=self.headers(tool))

    async def slow(self, http: httpx2.AsyncClient, seconds: float) -> httpx2.Response:
        return await self.call(http, "slow", steps=1, step_s=seconds)

    def headers(self, tool: str) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.key}",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": tool,
        }

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url)
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def exchange(self, data: bytes, *, wait_s: float = 10.0) -> bytes:
        """Send these bytes and close our side; everything that comes back."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(wait_s):
                return await reader.read(-1)
        finally:
            writer.transport.abort()

    def rss_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def log(self) -> str:
        return (self.shell.home / "logs" / "garrison.log").read_text()

    async def gone(self, within_s: float) -> float:
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            while alive(self.pid):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return time.monotonic() - began


def fixture_server(script: str, *flags: str) -> dict[str, Any]:
    """An entry of garrison.yaml: a fixture server behind pipes."""
    return {"command": [sys.executable, str(SERVERS / f"{script}.py"), *flags]}


@asynccontextmanager
async def brought_up(
    folder: Path, servers: dict[str, Any] | None = None, **settings: dict[str, object]
) -> AsyncIterator[Up]:
    """`settings` are groups: `edge={"drain_s": 1}`. Without `servers` there is one, modern_only."""
    write(folder, servers or {"one": fixture_server("modern_only")}, **settings)
    shell = Shell(folder)
    await asyncio.to_thread(shell, "up", code=0)
    try:
        yield Up(shell)
    finally:
        await asyncio.to_thread(shell, "down")


def write(folder: Path, servers: dict[str, Any], **settings: dict[str, object]) -> None:
    """The fleet's garrison.yaml, on any free port."""
    settings["edge"] = {"listen": "127.0.0.1:0", **settings.get("edge", {})}
    (folder / "garrison.yaml").write_text(json.dumps({"servers": servers, "settings": settings}))
