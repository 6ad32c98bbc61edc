"""The spool: accepted entries survive the death of the process before they are in the database.

A ring in a file that is mapped into memory. Writing a frame is a memory copy (under a microsecond, no system call);
the pages belong to the kernel, so that `kill -9` loses nothing. Only a power cut or a kernel crash does, and the
database commits within the ledger's window against that. How far the ring is in the database stands in the
database itself (table `marks`), in the same transaction as the entries, so that none is recorded twice.

    file   = magic (8) ‖ id (16) ‖ zeros up to 4096 ‖ ring
    frame  = length u32 ‖ CRC-32 u32 ‖ position u64 ‖ body, padded to 8 bytes; little-endian
    length = 0xFFFFFFFF: nothing more fits before the ring's end, go on at its beginning

A position counts bytes since the ring was new and never falls, so that frames of earlier rounds are told apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from zlib import crc32

_MAGIC = b"gsnspl1\n"
_HEADER_BYTES = 4096
_FRAME = Struct("<IIQ")
_pack = _FRAME.pack
_WRAP = 0xFFFFFFFF


class Spool:
    """One process's ring. Held by a lock on its file as long as it is open; not safe for several threads."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        """Take the ring at `path`, which is made if it is missing. BlockingIOError if another process holds it."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(self._descriptor)):
                raise BlockingIOError(f"{path} was removed by the process that held it")
            self.name = self._prepare(_HEADER_BYTES + size_bytes)
            self._map = mmap.mmap(self._descriptor, 0)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._path = path
        self._capacity = len(self._map) - _HEADER_BYTES
        self._end = 0
        self._done = 0

    def recover(self, done: int) -> list[bytes]:
        """The bodies that were accepted after position `done`. To be called once, before `put`."""
        self._done = self._end = done
        return list(self._frames())

    @property
    def end(self) -> int:
        """Position behind the newest frame."""
        return self._end

    def put(self, body: bytes) -> int:
        """Keep a body; returns the position behind it, or 0 when there is no room. On the hot path: one memory copy."""
        length, end = len(body), self._end
        size = (length + 23) & ~7
        at = end % self._capacity
        if at + size > self._capacity or end + size - self._done > self._capacity:
            if not self._make_room(at, size):
                return 0
            end = self._end
            at = end % self._capacity
        start = _HEADER_BYTES + at
        self._map[start : start + 16 + length] = _pack(length, crc32(body), end) + body
        self._end = end = end + size
        return end

    def release(self, position: int) -> None:
        """Everything before `position` is in the database: its room may be used again."""
        self._done = max(self._done, position)

    def close(self) -> None:
        self._map.close()
        os.close(self._descriptor)  # and with it the lock

    def remove(self) -> None:
        """Close and delete a ring that nobody needs any more."""
        self._path.unlink(missing_ok=True)
        self.close()

    def _prepare(self, size_bytes: int) -> str:
        """Size and label a new file; all its room is taken now, so that a full disk cannot kill us later (SIGBUS)."""
        head = os.pread(self._descriptor, 24, 0)
        if head[:8] != _MAGIC or os.fstat(self._descriptor).st_size <= _HEADER_BYTES:
            os.ftruncate(self._descriptor, 0)
            os.posix_fallocate(self._descriptor, 0, size_bytes)
            head = _MAGIC + secrets.token_bytes(16)
            os.pwrite(self._descriptor, head, 0)
        return head[8:].hex()

    def _make_room(self, at: int, size: int) -> bool:
        """Go on at the ring's beginning when its edge is in the way. False when the ring is full."""
        skip = self._capacity - at if at + size > self._capacity else 0
        if self._end + skip + size - self._done > self._capacity:
            return False
        if skip >= _FRAME.size:
            _FRAME.pack_into(self._map, _HEADER_BYTES + at, _WRAP, 0, self._end)
        self._end += skip
        return True

    def _frames(self) -> Iterator[bytes]:
        while True:
            at = self._end % self._capacity
            if self._capacity - at < _FRAME.size:
                self._end += self._capacity - at
                continue
            length, checksum, position = _FRAME.unpack_from(self._map, _HEADER_BYTES + at)
            if position != self._end:
                return
            if length == _WRAP:
                self._end += self._capacity - at
                continue
            start = _HEADER_BYTES + at + _FRAME.size
            body = self._map[start : start + length]
            if not length or at + _padded(length) > self._capacity or crc32(body) != checksum:
                return
            yield body
            self._end += _padded(length)


def take_spools(ledger: Path, size_bytes: int) -> list[Spool]:
    """All rings beside this ledger whose process is gone; a new one if there is none. The first is for our own use."""
    taken = []
    for path in sorted(ledger.parent.glob(f"{ledger.stem}.spool*")):
        with contextlib.suppress(BlockingIOError):  # its process lives
            taken.append(Spool(path, size_bytes))
    if not taken:
        taken.append(Spool(ledger.with_name(f"{ledger.stem}.spool-{secrets.token_hex(4)}"), size_bytes))
    return taken


def _padded(length: int) -> int:
    return (_FRAME.size + length + 7) & ~7
