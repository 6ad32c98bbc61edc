"""The two ends of a child's pipes on the event loop. Made and closed without waiting, so that nothing is half open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

READ_BYTES = 64 * 1024
"""A pipe holds no more; a larger buffer is fresh memory from the system each time."""


class PipeReader:
    """Owns the descriptor; hands over what comes, then calls `on_end` once."""

    def __init__(self, descriptor: int, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_data = on_data
        self._on_end = on_end
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._ready)

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._on_end()

    def drain(self, bytes_max: int) -> None:
        """Read what is in the pipe now, up to a bound, without waiting for the loop."""
        while self._descriptor >= 0 and bytes_max > 0:
            size = self._read()
            if size == 0:
                return
            bytes_max -= size

    def _ready(self) -> None:
        self._read()

    def _read(self) -> int:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0
        if data:
            self._on_data(data)
        else:
            self.close()
        return len(data)


class PipeWriter:
    """Owns the descriptor; writes at once what the pipe takes, the rest when it takes more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending = bytearray()
        self._closing = False
        os.set_blocking(descriptor, False)

    @property
    def pending_bytes(self) -> int:
        return len(self._pending)

    def write(self, data: bytes) -> None:
        """Dropped once the pipe is closed or broken: the reader's end is reported by others."""
        if self._closing:
            return
        if not self._pending:
            data = data[self._push(data) :]
            if data and self._descriptor >= 0:
                asyncio.get_running_loop().add_writer(self._descriptor, self._ready)
        self._pending += data

    def close(self) -> None:
        """After what is pending has been written."""
        self._closing = True
        if not self._pending:
            self.abort()

    def abort(self) -> None:
        """Now."""
        self._closing = True
        self._pending.clear()
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _ready(self) -> None:
        with memoryview(self._pending) as view:
            written = self._push(view)
        if self._descriptor < 0:
            return
        del self._pending[:written]
        if not self._pending:
            asyncio.get_running_loop().remove_writer(self._descriptor)
            if self._closing:
                self.abort()

    def _push(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # nobody reads any more
            self._broken()
            return len(data)

    def _broken(self) -> None:
        asyncio.get_running_loop().call_soon(self.abort)
        self._closing = True
