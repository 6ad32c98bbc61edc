"""A load generator: the same request again and again on some connections, for a while; and what came of it.

It costs more than a generator in C, so where processor time is what matters, it is measured in the other process.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

WAIT_S_MAX = 30.0


@dataclass
class Load:
    """What one run found. `waits_us` in microseconds, of all calls; `refused` are answers other than 200."""

    calls: int = 0
    refused: int = 0
    seconds: float = 0.0
    waits_us: list[float] = field(default_factory=list)
    first_answer: bytes = b""

    @property
    def calls_per_s(self) -> float:
        return self.calls / self.seconds if self.seconds else 0.0

    def quantile_us(self, share: float) -> float:
        """For example 0.5 for the median."""
        ordered = sorted(self.waits_us)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


async def run_load(url: str, request: bytes, connections: int, seconds: float, calls_max: int = 1_000_000) -> Load:
    """Send `request` on each connection, the next one when its answer is whole. OSError when nobody listens."""
    parts, load = urlsplit(url), Load()
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    ends = started + seconds
    clients = [_Client(request, load, ends, calls_max) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, host, port)  # type: ignore[misc]
    await asyncio.wait([client.ended for client in clients], timeout=seconds + WAIT_S_MAX)
    load.seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return load


class _Client(asyncio.Protocol):
    """One connection, one request at a time. Reads answers with a length, or in chunks up to the last one."""

    def __init__(self, request: bytes, load: Load, ends: float, calls_max: int) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._load = load
        self._ends = ends
        self._calls_max = calls_max
        self._parts: list[bytes] = []
        self._missing = 0
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if self._missing:
            self._missing -= len(data)
            if self._missing <= 0:
                self._answered(self._parts[0])
            return
        whole = b"".join(self._parts)
        self._parts = [whole]
        end = whole.find(b"\r\n\r\n") + 4
        if end == 3:
            return
        at = whole[:end].lower().find(b"content-length:")
        if at < 0:
            if whole.endswith(b"0\r\n\r\n"):
                self._answered(whole)
            return
        self._missing = end + int(whole[at + 15 : whole.index(b"\r", at)]) - len(whole)
        if self._missing <= 0:
            self._answered(whole)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        self._parts, self._missing = [], 0
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def _answered(self, answer: bytes) -> None:
        now, load = time.perf_counter(), self._load
        load.calls += 1
        load.waits_us.append((now - self._sent_at) * 1e6)
        if answer[9:12] != b"200":
            load.refused += 1
        load.first_answer = load.first_answer or answer
        if now < self._ends and load.calls < self._calls_max:
            self._send()
        elif not self.ended.done():
            self.ended.set_result(None)
