"""Drives a client for the suite, scenario by scenario: it starts a gateway in front of the server that the suite names.

The suite starts a command for each scenario, all at once. Ours (`drive.py`) only passes on what it was told; the work
is done here, in one process and a few at a time, so that nobody has to start forty gateways together.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client

from conformance.client_scenarios import drive_of, elicited
from garrison.catalog.spec import ServerSpec
from running_fleet import running_fleet

Connect = AbstractAsyncContextManager[Client]
AT_ONCE = 3
SCENARIO_S = 25.0


@asynccontextmanager
async def driver(folder: Path, *, through_gateway: bool) -> AsyncIterator[str]:
    """Gives the command that the suite is to run."""
    places = asyncio.Semaphore(AT_ONCE)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = json.loads(await reader.readline())
        async with places:
            complaint = await _drive(told, through_gateway=through_gateway)
        writer.write(complaint.encode())
        await writer.drain()
        writer.close()

    socket = folder / "driver"
    server = await asyncio.start_unix_server(accept, socket)
    try:
        yield f"{sys.executable} -ISE {Path(__file__).with_name('drive.py')} {socket}"
    finally:
        server.close()


async def _drive(told: dict[str, Any], *, through_gateway: bool) -> str:
    """Empty when the client came to its end, else what went wrong: for the suite's records, it judges by itself."""
    mode = "auto" if told["version"] >= "2026" else "legacy"
    connect = _through_gateway(told["url"], mode) if through_gateway else _direct(told["url"], mode)
    try:
        async with asyncio.timeout(SCENARIO_S), connect as client:
            await drive_of(told["scenario"])(client, told["context"])
    except Exception:  # boundary: whatever a client meets is the scenario's matter
        return traceback.format_exc()
    return ""


def _direct(url: str, mode: str) -> Connect:
    return Client(url, mode=mode, elicitation_callback=elicited)


@asynccontextmanager
async def _through_gateway(url: str, mode: str) -> AsyncIterator[Client]:
    spec = ServerSpec(name="judge", transport="http", url=url)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running_fleet(Path(folder), (spec,)) as running,
            running.client("/servers/judge/mcp", mode, elicitation_callback=elicited) as client,
        ):
            yield client
