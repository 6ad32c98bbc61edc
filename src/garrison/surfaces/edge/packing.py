"""Compressing an answer while it comes: in a thread, piece by piece, and nothing more comes in meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from garrison.protocol.large import Valve
from garrison.surfaces.edge.compression import COMPRESS_FROM_BYTES, new_stream


class Packer:
    """`write` takes what is compressed. It is the answer's valve: shut while it works, or while the client rests."""

    def __init__(self, write: Callable[[bytes], None], valve: Valve) -> None:
        self._write = write
        self._valve = valve
        self._stream = new_stream()
        self._waiting: list[bytes] = []
        self._then: Callable[[], None] | None = None
        """What to do when all is written."""
        self._working = self._client_rests = self._shut = False

    def put(self, data: bytes) -> None:
        self._waiting.append(data)
        self._go_on()

    def end(self, then: Callable[[], None]) -> None:
        self._then = then
        self._go_on()

    # ── the valve ──

    def pause(self) -> None:
        self._client_rests = True
        self._turn()

    def resume(self) -> None:
        self._client_rests = False
        self._turn()

    # ── inside ──

    def _go_on(self) -> None:
        if self._working:
            return
        if self._waiting:
            data, self._waiting = b"".join(self._waiting), []
            self._compress(data)
        elif self._then is not None:
            self._write(self._stream.flush())
            self._then()

    def _compress(self, data: bytes) -> None:
        if len(data) < COMPRESS_FROM_BYTES:
            self._wrote(self._stream.compress(data))
            return
        self._working = True
        self._turn()
        working = asyncio.get_running_loop().run_in_executor(None, self._stream.compress, data)
        working.add_done_callback(self._done)

    def _done(self, working: asyncio.Future[bytes]) -> None:
        self._working = False
        if not working.cancelled():
            self._wrote(working.result())
            self._turn()

    def _wrote(self, packed: bytes) -> None:
        if packed:
            self._write(packed)
        self._go_on()

    def _turn(self) -> None:
        shut = self._working or self._client_rests
        if shut is not self._shut:
            self._shut = shut
            (self._valve.pause if shut else self._valve.resume)()
