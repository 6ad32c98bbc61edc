"""Event streams by hand: how soon the first event comes, and many that stay open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

OPEN_S_MAX = 120.0


async def first_event_us(url: str, request: bytes, times: int) -> list[float]:
    """Microseconds from the request to the first event, one connection, one stream after another."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    waits = []
    for _ in range(times):
        started = time.perf_counter()
        writer.write(request)
        await asyncio.wait_for(reader.readuntil(b"data: "), 5)
        waits.append((time.perf_counter() - started) * 1e6)
        await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 5)
    writer.close()
    return waits


@contextlib.contextmanager
def open_streams(url: str, request: bytes, count: int) -> Iterator[int]:
    """Open streams and keep them open; gives how many answered 200."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    opened: list[socket.socket] = []
    deadline = time.monotonic() + OPEN_S_MAX
    try:
        while len(opened) < count and time.monotonic() < deadline:
            one = socket.create_connection(address, 10)
            opened.append(one)
            one.sendall(request)
            if not one.recv(4096).startswith(b"HTTP/1.1 200"):
                opened.pop().close()
                break
        yield len(opened)
    finally:
        for one in opened:
            one.close()


def rest(seconds: float) -> None:
    time.sleep(seconds)
