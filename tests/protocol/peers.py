"""Connections under test: to real processes, to SDK apps under a real uvicorn, to raw sockets that misbehave."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from msgspec import Raw

from garrison.kernel.errors import GarrisonError
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, RpcError
from garrison.protocol.question import Question
from garrison.protocol.transports.http import HttpTransport
from garrison.protocol.transports.sse import SseTransport
from garrison.protocol.transports.stdio import StdioTransport

SERVERS = Path(__file__).parents[1] / "fixtures" / "servers"

CLIENT = {"name": "test", "version": "1"}


@dataclass
class Recorded:
    """A reply that keeps what it is told; `ends` counts how often the request ended."""

    messages: list[Message] = field(default_factory=list)
    ends: list[Raw | RpcError | GarrisonError] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def message(self, message: Message) -> None:
        self.messages.append(message)

    def streaming(self) -> None:
        """Not of interest."""

    def question(self, question: Question) -> None:
        question.refuse()

    def result(self, result: Raw) -> None:
        self._end(result.copy())

    def error(self, error: RpcError) -> None:
        self._end(error)

    def failed(self, error: GarrisonError) -> None:
        self._end(error)

    async def end(self) -> Any:
        async with asyncio.timeout(5):
            await self.ended.wait()
        return self.ends[0]

    def _end(self, end: Any) -> None:
        self.ends.append(end)
        self.ended.set()


class Child(asyncio.SubprocessProtocol):
    """A process with a `StdioTransport` on its pipes."""

    def __init__(self) -> None:
        self.noise: list[bytes] = []
        self.exited = asyncio.Event()
        self.process: asyncio.SubprocessTransport
        self.channel: StdioTransport

    def connection_made(self, transport: Any) -> None:
        self.process = transport
        self.channel = StdioTransport(transport.get_pipe_transport(0).write, on_noise=self.noise.append)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.channel.data_received(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.channel.connection_lost("its process ended")

    def process_exited(self) -> None:
        self.exited.set()


@asynccontextmanager
async def spawned(*command: str, legacy_only: bool = False) -> AsyncIterator[tuple[Connection, Child]]:
    """A connection, not yet open, to `python COMMAND…` over its pipes."""
    loop = asyncio.get_running_loop()
    _, child = await loop.subprocess_exec(Child, sys.executable, *command, stderr=None)
    connection = Connection(child.channel, CLIENT, label="tested", legacy_only=legacy_only)
    try:
        yield connection, child
    finally:
        await connection.close()
        if child.process.get_returncode() is None:
            child.process.kill()
        await child.exited.wait()
        child.process.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def scripted(source: str, *, legacy_only: bool = False) -> AsyncIterator[tuple[Connection, Child]]:
    """A connection to a process that runs this Python source: `read()` and `say(message)` are there already."""
    async with spawned("-c", SCRIPT_HEAD + source, legacy_only=legacy_only) as pair:
        yield pair


SCRIPT_HEAD = """
import json, os, sys, time
def read():
    line = sys.stdin.readline()
    if not line: sys.exit()
    return json.loads(line)
def say(message): print(message if isinstance(message, str) else json.dumps(message), flush=True)
def result(own, **content): say({"jsonrpc": "2.0", "id": own, "result": content})
def error(own, code=-32601, text="Method not found"):
    say({"jsonrpc": "2.0", "id": own, "error": {"code": code, "message": text}})
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "script", "version": "1"}}
"""


@asynccontextmanager
async def web(app: Any, path: str = "/mcp", **options: Any) -> AsyncIterator[str]:
    """The URL of an ASGI app under a real uvicorn in this loop."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", access_log=False, timeout_graceful_shutdown=0, **options
    )
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server._serve([listening]))
    try:
        await until(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}{path}"
    finally:
        server.should_exit = True
        await task
        listening.close()


@asynccontextmanager
async def http(url: str, **headers: str) -> AsyncIterator[Connection]:
    """A connection over Streamable HTTP, not yet open."""
    connection = Connection(HttpTransport(url, headers, label="tested"), CLIENT, label="tested")
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def sse(url: str, **headers: str) -> AsyncIterator[Connection]:
    """A connection over HTTP+SSE, not yet open."""
    connection = Connection(SseTransport(url, headers, label="tested"), CLIENT, label="tested")
    try:
        yield connection
    finally:
        await connection.close()


@dataclass
class Asked:
    """One request that a raw server has read."""

    verb: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def header(self) -> dict[str, str]:
        return dict(self.headers)


Talk = Callable[[Asked, asyncio.StreamWriter], Awaitable[bool | None]]
"""Writes an answer; True keeps the connection for another request."""


async def read_request(reader: asyncio.StreamReader) -> Asked:
    """Raises `IncompleteReadError` when the client has gone."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    verb, target, _ = first.split(" ")
    headers = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines)]
    body = await reader.readexactly(int(dict(headers).get("content-length", 0)))
    return Asked(verb, target, headers, body)


@dataclass
class RawServer:
    """A socket server of ours that answers as `talk` says; `asked` keeps every request."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def raw_server(talk: Talk, path: str = "/mcp", **options: Any) -> AsyncIterator[RawServer]:
    found = RawServer("")
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        found.connections += 1
        try:
            while True:
                asked = await read_request(reader)
                found.asked.append(asked)
                if not await talk(asked, writer):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    scheme = "https" if "ssl" in options else "http"
    found.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
    try:
        yield found
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


async def listening(url: str) -> None:
    """Wait until somebody takes connections there."""
    port = int(url.split(":")[2].split("/")[0])
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise AssertionError(f"nobody listens at {url}")


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


def descriptors() -> set[str]:
    """What this process holds open: `fd → what`."""
    return {f"{each.name} → {each.readlink()}" for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
