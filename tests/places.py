"""Small HTTP servers that remember what they were asked, and a resolver that answers as it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx2

from garrison.protocol.addresses import Naming
from garrison.protocol.fetching import fetched
from garrison.protocol.transports.outbound import Outbound

Answer = Callable[[str, bytes], bytes]


class Place:
    """A small HTTP server that remembers what it was asked."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0

    def url(self, host: str = "127.0.0.1", path: str = "/") -> str:
        return f"http://{host}:{self.port}{path}"


@asynccontextmanager
async def place(answer: Answer, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Place]:
    found = Place()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found.heads.append(head)
        writer.write(answer(head.split(b" ")[1].decode(), head))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, port)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


def says(text: str, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(text)}\r\n{more}\r\n{text}".encode()


class Resolver:
    """Answers as it was told, one answer after the other; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def get(outbound: Outbound, url: str, naming: Naming = "written", redirects: int = 0, **headers: str) -> str:
    request = httpx2.Request("GET", url, headers=headers)
    return (await fetched(outbound.way(naming), request, redirects=redirects)).text
