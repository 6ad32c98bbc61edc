"""Callers for load: each has one connection of its own and makes one call after the other, as fast as it is let."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from brought_up import META

CALL_S_MAX = 20.0
"""A call that takes longer hangs."""


class Caller:
    """Modern calls, on a server's transparent endpoint."""

    def __init__(self, url: str, key: str, server: str = "one") -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port
        self._head = (
            f"POST /servers/{server}/mcp HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
            "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
            "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n"
        )
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def request(self, tool: str, **arguments: object) -> bytes:
        params = {"name": tool, "arguments": arguments, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        return f"{self._head}mcp-name: {tool}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()

    async def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=1 << 26)
        return self._streams

    async def call(self, tool: str, **arguments: object) -> tuple[int, Any]:
        """HTTP status and the message; 0 when the connection broke, with how."""
        try:
            async with asyncio.timeout(CALL_S_MAX):
                reader, writer = await self.streams()
                writer.write(self.request(tool, **arguments))
                return await self.answer(reader)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.close()
            return 0, type(error).__name__

    async def answer(self, reader: asyncio.StreamReader) -> tuple[int, Any]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        message = json.loads(await reader.readexactly(length))
        if "connection: close" in head:
            self.close()
        return int(head.split(" ", 2)[1]), message

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def kind_of(answer: tuple[int, Any]) -> str:
    """`ok`, or the JSON-RPC code, or how the connection broke."""
    status, message = answer
    if not status:
        return str(message)
    return "ok" if "result" in message else str(message["error"]["code"])


class Load:
    """What the callers got, by kind."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.hung = 0
        self._callers: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def total(self) -> int:
        return self.outcomes.total()

    def start(self, caller: Caller, pause_s: float, tool: str, **arguments: object) -> None:
        self._callers.append(asyncio.ensure_future(self._run(caller, pause_s, tool, arguments)))

    async def _run(self, caller: Caller, pause_s: float, tool: str, arguments: dict[str, object]) -> None:
        """At most one call each `pause_s`."""
        due_s = time.monotonic()
        try:
            while not self._stopping:
                try:
                    self.outcomes[kind_of(await caller.call(tool, **arguments))] += 1
                except TimeoutError:
                    self.hung += 1
                    return
                due_s = max(due_s + pause_s, time.monotonic() - pause_s)
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        finally:
            caller.close()

    async def stop(self) -> None:
        """Every caller ends its last call."""
        self._stopping = True
        await asyncio.gather(*self._callers)


@asynccontextmanager
async def load(
    new: Callable[[], Caller], callers: int, tool: str, *, pause_s: float = 0.0, **arguments: object
) -> AsyncIterator[Load]:
    """So many callers, until the block ends."""
    found = Load()
    for _ in range(callers):
        found.start(new(), pause_s, tool, **arguments)
    try:
        yield found
    finally:
        with suppress(asyncio.CancelledError):
            await found.stop()
