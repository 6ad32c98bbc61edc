"""A server that offers what a test says, and rewrites it when the test does."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError

from garrison.catalog.spec import ServerSpec
from garrison.gateway.upstreams.pinning import Pinning
from running_fleet import SERVERS, Running

Json = dict[str, Any]
SCHEMA: Json = {"type": "object", "properties": {"to": {"type": "string"}}, "additionalProperties": False}


def tools() -> list[Json]:
    return [
        {"name": "mail", "description": "Send a letter", "inputSchema": SCHEMA, "annotations": {"readOnlyHint": True}},
        {"name": "look", "description": "Look around", "inputSchema": {"type": "object"}},
        {"name": "announce", "description": "Say that lists have changed", "inputSchema": {"type": "object"}},
    ]


@dataclass
class Shifting:
    """A server that offers what this object says."""

    file: Path
    modern: bool = False
    offer: Json = field(default_factory=lambda: {"tools": tools(), "instructions": "Be kind."})

    def __post_init__(self) -> None:
        self.write()

    def spec(self, name: str = "post", session: Any = "shared", **more: Any) -> ServerSpec:
        flags = ("--modern",) if self.modern else ()
        command = (sys.executable, str(SERVERS / "shifting.py"), str(self.file), *flags)
        return ServerSpec(name=name, transport="stdio", command=command, session=session, **more)

    def rewrite(self, name: str = "mail", **changes: Any) -> None:
        self.offer["tools"] = [{**one, **changes} if one["name"] == name else one for one in self.offer["tools"]]
        self.write()

    def write(self, later: bool = False) -> None:
        (self.file.with_suffix(".later") if later else self.file).write_text(json.dumps(self.offer))


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def pins(running: Running) -> Pinning:
    return running.fleet.directory.pins


def is_held(running: Running, name: str = "mail", server: str = "post") -> bool:
    return ("tool", name) in running.fleet.directory.get(server).held


async def names(client: Client) -> set[str]:
    return {one.name.removeprefix("post__") for one in (await client.list_tools()).tools}


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    with pytest.raises(MCPError) as caught:
        await client.call_tool(tool, arguments)
    return str(caught.value)
