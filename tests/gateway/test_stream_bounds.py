"""Open streams are bounded for themselves, and do not count as calls."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack

from garrison.surfaces.setting_groups.calls import LimitSettings
from garrison.surfaces.setting_groups.edge import EdgeSettings
from garrison.surfaces.settings import Settings
from running_fleet import Running, StartFleet

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


async def opened(running: Running, key: str) -> tuple[bytes, asyncio.StreamWriter]:
    """Ask for a stream; the status line and the open connection."""
    host, port = running.url.removeprefix("http://").split(":")
    asked = {"notifications": {"toolsListChanged": True}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": asked}
    body = json.dumps(message).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
        f"mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    return await asyncio.wait_for(reader.readline(), 20), writer


async def closed(running: Running, left: int) -> None:
    async with asyncio.timeout(20):
        while len(running.fleet.gateway.streams) > left:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.01)


async def test_streams_have_bounds_of_their_own_for_one_and_for_all(start_fleet: StartFleet) -> None:
    edge = EdgeSettings(streams=5, streams_per_principal=3)
    running = await start_fleet(settings=Settings(edge=edge, limits=LimitSettings(concurrent_calls=1)))
    one, other = running.key("admin", name="one"), running.key("admin", name="other")
    with ExitStack() as stack:

        async def status(key: str) -> bytes:
            line, writer = await opened(running, key)
            stack.callback(writer.close)
            return line.split()[1]

        assert [await status(one) for _ in range(4)] == [b"200", b"200", b"200", b"429"]
        assert [await status(other) for _ in range(3)] == [b"200", b"200", b"429"]
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {"_meta": META}}
        headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/list", "authorization": f"Bearer {one}"}
        assert (await running.post("/mcp", body, **headers)).status_code == 200  # a call is not held up by streams
    await closed(running, 0)
    line, writer = await opened(running, one)
    assert b"200" in line
    writer.close()
