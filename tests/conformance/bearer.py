"""A byte relay that puts a key on every request: the suite cannot send one. It holds nothing back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_HEAD_BYTES_MAX = 65_536


@asynccontextmanager
async def with_key(url: str, key: str) -> AsyncIterator[str]:
    """Gives the origin of a relay on loopback in front of the URL's host; the path stays the caller's."""
    target = urlsplit(url)
    assert target.hostname is not None
    assert target.port is not None
    host, port, line = target.hostname, target.port, f"Authorization: Bearer {key}\r\n".encode()
    serving: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await _relay(reader, writer, host, port, line)
        except (ConnectionError, asyncio.CancelledError):
            pass  # either side may hang up at any time; the relay is cancelled at the end of the test
        finally:
            serving.discard(task)
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_HEAD_BYTES_MAX)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _relay(
    client: asyncio.StreamReader, answers: asyncio.StreamWriter, host: str, port: int, line: bytes
) -> None:
    """Whichever side ends first ends the other: a closed stream is a cancelled request."""
    reader, writer = await asyncio.open_connection(host, port)
    ways = (asyncio.ensure_future(_requests(client, writer, line)), asyncio.ensure_future(_bytes(reader, answers)))
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()


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
