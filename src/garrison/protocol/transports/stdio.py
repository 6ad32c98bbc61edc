"""A child's pipes: one JSON-RPC message a line, one write per turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection
    from garrison.protocol.handshake import ServerInfo
    from garrison.protocol.headers import Headers

LINE_BYTES_MAX = 64 * 1024 * 1024
"""Bound of one message from a server."""


class StdioTransport:
    """Does no I/O of its own: whoever owns the pipes feeds `data_received` and gives `write`.

    Lines that are no JSON-RPC go to `on_noise`: servers print banners to stdout, and that must not end them.
    """

    cancels_by_closing = False

    def __init__(self, write: Callable[[bytes], None], *, on_noise: Callable[[bytes], None] | None = None) -> None:
        self._write = write
        self._on_noise = on_noise
        self._connection: Connection | None = None
        self._early: list[bytes] = []
        self._parts: list[bytes] = []
        self._parts_size = 0
        self._outbox: list[bytes] = []
        self._lost: str | None = None

    def bind(self, connection: Connection) -> None:
        self._connection = connection
        early, self._early = self._early, []
        for line in early:
            self._line(line)
        if self._lost is not None:
            connection.lost(self._lost)

    def send(self, frame: bytes, request_id: int | None, headers: Headers) -> None:
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(one_line(frame))

    def abandon(self, request_id: int) -> None:
        """Nothing to do: a late answer finds nobody waiting."""

    def settled(self, info: ServerInfo) -> None:
        """Pipes are the same in every revision."""

    async def delivered(self) -> None:
        """A pipe keeps the order."""

    async def close(self) -> None:
        """The owner of the pipes closes them."""
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes from the server's stdout, cut anywhere."""
        if self._lost is not None:
            return
        if b"\n" not in data:
            self._keep(data)
            return
        first, *lines = data.split(b"\n")
        self._parts.append(first)
        whole = b"".join(self._parts)
        rest = lines.pop()
        self._parts, self._parts_size = ([rest], len(rest)) if rest else ([], 0)
        self._line(whole)
        for line in lines:
            self._line(line)

    def connection_lost(self, reason: str) -> None:
        """The pipe ended; what stands there without a line end is read too, it may say why."""
        if self._lost is not None:
            return
        self._lost = reason
        rest, self._parts = b"".join(self._parts), []
        self._line(rest)
        if self._connection is not None:
            self._connection.lost(reason)

    def _keep(self, data: bytes) -> None:
        self._parts.append(data)
        self._parts_size += len(data)
        if self._parts_size > LINE_BYTES_MAX:
            self._parts = []
            self.connection_lost(f"it sent a line of over {LINE_BYTES_MAX} bytes")

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        if self._connection is None:
            self._early.append(line)
            return
        try:
            self._connection.received(line, None)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if self._on_noise is not None:
                self._on_noise(line)

    def _flush(self) -> None:
        frames, self._outbox = self._outbox, []
        if frames and self._lost is None:
            self._write(b"\n".join(frames) + b"\n")


def one_line(frame: bytes) -> bytes:
    """The same JSON without line breaks, which can only stand between tokens.

    Bodies are forwarded as they came, and a line break in one would let a client smuggle in a message of its own.
    """
    if b"\n" in frame or b"\r" in frame:
        return frame.replace(b"\n", b" ").replace(b"\r", b" ")
    return frame
