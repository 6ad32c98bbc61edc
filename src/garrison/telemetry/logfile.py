"""A log file that rotates by size and may be shared by several processes."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path


class LogFile:
    """Appends whole lines with one write each; mode 0600.

    Rotation happens under a lock on the file itself. A process whose file was rotated by another one notices by its
    size (it is still full) and by the name, which now means another file, and opens that one.
    """

    def __init__(self, path: Path, size_bytes_max: int, files_kept: int) -> None:
        self._path = path
        self._size_bytes_max = size_bytes_max
        self._files_kept = files_kept
        self._lock = threading.Lock()
        self._torn = False
        self._descriptor = self._open()

    def write(self, line: str) -> None:
        data = line.encode("utf-8", "replace")
        with self._lock:
            if os.fstat(self._descriptor).st_size + len(data) > self._size_bytes_max:
                self._rotate()
            if self._torn:  # a full disk cut the last line short: do not glue this one to it
                data = b"\n" + data
            self._torn = True
            self._torn = os.write(self._descriptor, data) != len(data)

    def flush(self) -> None:
        """Lines are written at once."""

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _rotate(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        if self._is_current() and os.fstat(self._descriptor).st_size:
            for number in range(self._files_kept - 1, 0, -1):
                _move(self._numbered(number), self._numbered(number + 1))
            _move(self._path, self._numbered(1))
        fresh = self._open()
        os.close(self._descriptor)  # and with it the lock
        self._descriptor = fresh

    def _is_current(self) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.replace(target)
