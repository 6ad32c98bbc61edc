"""A small remote server of the legacy era that can be told to hang up on what it is asked, and remembers all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

TOOLS = [
    {"name": "read", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "write", "inputSchema": {"type": "object"}},
]
CAPABILITIES = {"tools": {}, "resources": {}}


class Flaky:
    """`hang_ups`: how many further requests of `method` it reads and then hangs up on, without an answer."""

    def __init__(self) -> None:
        self.url = ""
        self.method = ""
        self.hang_ups = 0
        self.tools = TOOLS
        self.delay_s = 0.0
        """How long it thinks before it answers `method`."""
        self.asked: list[str] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def begin(self) -> None:
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/mcp"

    def end(self) -> None:
        """As a process that is killed."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if not head.startswith("post"):
            writer.write(b"HTTP/1.1 405 Not Here\r\ncontent-length: 0\r\n\r\n")
            return True
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        message = json.loads(await reader.readexactly(length))
        self.asked.append(message["method"])
        if message["method"] == self.method and self.hang_ups:
            self.hang_ups -= 1
            return False
        if "id" not in message:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            return True
        if message["method"] == self.method and self.delay_s:
            await asyncio.sleep(self.delay_s)
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], **self._answer(message)}).encode()
        head_out = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head_out.encode() + body)
        return True

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["method"] == "tools/list":
            return {"result": {"tools": self.tools}}
        return _answer(message)


def _answer(message: dict[str, Any]) -> dict[str, Any]:
    method = message["method"]
    if method == "initialize":
        info = {"name": "flaky", "version": "1"}
        return {"result": {"protocolVersion": "2025-06-18", "capabilities": CAPABILITIES, "serverInfo": info}}
    if method == "resources/list":
        return {"result": {"resources": [{"uri": "memo://one", "name": "one"}]}}
    if method == "resources/templates/list":
        return {"result": {"resourceTemplates": []}}
    if method == "resources/read":
        return {"result": {"contents": [{"uri": "memo://one", "text": "one"}]}}
    if method == "tools/call":
        return {"result": {"content": [{"type": "text", "text": "done"}]}}
    return {"error": {"code": -32601, "message": "unknown"}} if method != "ping" else {"result": {}}


@asynccontextmanager
async def flaky() -> AsyncIterator[Flaky]:
    found = Flaky()
    await found.begin()
    try:
        yield found
    finally:
        found.end()
