"""Tools that clients of 2026-07-28 must not use are shown to nobody."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from garrison.catalog.spec import ServerSpec
from gateway.flaky import flaky
from running_fleet import StartFleet

pytestmark = pytest.mark.slow


def tool(name: str, **region: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object", "properties": {"region": region}}}


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
async def test_a_tool_with_a_bad_header_mark_is_neither_listed_nor_callable_in_either_era(
    start_fleet: StartFleet, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    async with flaky() as server:
        server.tools = [
            tool("good", type="string", **{"x-mcp-header": "Region"}),
            tool("bad", type="number", **{"x-mcp-header": "Region"}),
        ]
        running = await start_fleet(ServerSpec(name="one", transport="http", url=server.url))
        prefix = "one__" if path == "/mcp" else ""
        for mode in ("legacy", "auto"):
            async with running.client(path, mode) as client:
                assert [one.name for one in (await client.list_tools()).tools] == [f"{prefix}good"]
                await client.call_tool(f"{prefix}good", {"region": "eu"})
                with pytest.raises(MCPError, match="bad"):
                    await client.call_tool(f"{prefix}bad", {"region": 1})
    (warning,) = {(one.server, one.tool, one.why) for one in caplog.records if one.message == "a tool is left out"}
    assert warning == ("one", "bad", "x-mcp-header of 'region' is not on a string, integer or boolean")
