"""`garrison up --verify`: a real call through the gateway to each running server, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mcp import Client
from mcp_types import Tool

from garrison.kernel.errors import GarrisonError
from garrison.kernel.home import Home
from garrison.surfaces.cli.gateway_client import all_tools, connected
from garrison.surfaces.cli.node_client import NodeClient, client_of
from garrison.surfaces.cli.output import tell

CALL_S_MAX = 30.0


def verify(report: Mapping[str, Any], home: Home) -> dict[str, Any]:
    """The report, in which each running server has `verified`: {ok, tools, tool, took_ms, error}."""
    running = [row["name"] for row in report["servers"] if row["state"] == "running"]
    tell("verifying: a call through the gateway to each running server")
    proofs = asyncio.run(_all(client_of(home), running))
    rows = [{**row, "verified": proofs[row["name"]]} if row["name"] in proofs else row for row in report["servers"]]
    return {**report, "servers": rows}


async def _all(node: NodeClient, servers: list[str]) -> dict[str, dict[str, Any]]:
    proofs = await asyncio.gather(*(_one(node, f"/servers/{quote(name, safe='')}/mcp") for name in servers))
    return dict(zip(servers, proofs, strict=True))


async def _one(node: NodeClient, path: str) -> dict[str, Any]:
    proof: dict[str, Any] = {"ok": False, "tools": None, "tool": None, "took_ms": None, "error": ""}
    try:
        async with connected(node.note.url + path, node.key, CALL_S_MAX, node.tls()) as client:
            began = time.monotonic()
            await _prove(client, proof)
            proof["took_ms"] = round((time.monotonic() - began) * 1000, 1)
    except GarrisonError as error:
        return {**proof, "error": error.message}
    return {**proof, "ok": not proof["error"]}


async def _prove(client: Client, proof: dict[str, Any]) -> None:
    """List the tools; call one that needs nothing and changes nothing, where there is one."""
    if client.server_capabilities.tools is None:
        return
    tools = await all_tools(client)
    proof["tools"] = len(tools)
    harmless = next((tool for tool in tools if is_harmless(tool)), None)
    if harmless is None:
        return
    proof["tool"] = harmless.name
    result = await client.call_tool(harmless.name, {})
    if result.is_error:
        proof["error"] = f"{harmless.name} answered with an error"


def is_harmless(tool: Tool) -> bool:
    """Says of itself that it only reads and stays on this machine, and can be called without arguments."""
    notes = tool.annotations
    if notes is None or not notes.read_only_hint or notes.open_world_hint:
        return False
    return not tool.input_schema.get("required")
