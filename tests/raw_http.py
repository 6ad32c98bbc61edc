"""HTTP by hand: bytes to a running fleet's edge, bytes back."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from running_fleet import Running

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


async def exchange(running: Running, data: bytes, *, wait_s: float = 3.0, half_close: bool = True) -> bytes:
    """Send bytes, read until the end."""
    parts = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(data)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(wait_s):
            return await reader.read(1 << 20 if half_close else -1)
    except TimeoutError:
        return b""
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def post(headers: bytes, body: bytes = PING) -> bytes:
    return b"POST /mcp HTTP/1.1\r\n" + headers + b"\r\n" + body


def length(body: bytes) -> bytes:
    return f"Content-Length: {len(body)}\r\n".encode()


def auth(running: Running) -> bytes:
    return f"Authorization: Bearer {running.admin_key}\r\n".encode()
