"""A byte relay that puts a key on every request: the suite cannot send one. It holds nothing back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

_HEAD_BYTES_MAX = 65_536


@asynccontextmanager
async def with_key(url: str, key: str) -> AsyncIterator[str]:
    """Gives the origin of a relay on loopback in front of the URL's host; the path stays the caller's."""
    target = urlsplit(url)
    line = f"Authorization: Bearer {key}\r\n".encode()
    serving: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        task.add_done_callback(serving.discard)
        with suppress(OSError, asyncio.CancelledError):  # either side hangs up when it likes; so does the test's end
            async with closing(writer), connection_to(target.hostname, target.port) as (answers, requests):
                await _relay(_requests(reader, requests, line), _bytes(answers, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_HEAD_BYTES_MAX)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0)


@asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """What was written goes out, unless this is cancelled."""
    try:
        yield
        writer.close()
        await writer.wait_closed()
    finally:
        writer.transport.abort()


@asynccontextmanager
async def connection_to(
    host: str | None, port: int | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    async with closing(writer):
        yield reader, writer


async def _relay(*ways: Coroutine[Any, Any, None]) -> None:
    """Whichever side ends first ends the other: a closed stream is a cancelled request."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        first, rest = head.split(b"\r\n", 1)
        writer.write(first + b"\r\n" + line + rest + await _body(reader, rest))
        await writer.drain()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    fields = dict(field.lower().split(b":", 1) for field in head.split(b"\r\n") if b":" in field)
    assert b"transfer-encoding" not in fields, "the suite sends bodies of known length"
    return await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def _bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_HEAD_BYTES_MAX):
        writer.write(data)
        await writer.drain()
