"""SQLite as Garrison uses it: private files, write-ahead log, several processes at a time."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUSY_TIMEOUT_S = 5.0


def connect(
    path: Path, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S, page_bytes: int = 4096
) -> sqlite3.Connection:
    """A connection that commits durably (`synchronous=FULL`) and only when told; the file has mode 0600.

    `page_bytes` counts for a new file only. Raises FileNotFoundError when the file is missing and `create` is false,
    else sqlite3.Error.
    """
    _make_private(path, create)
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size={page_bytes}")
        _use_write_ahead_log(connection, busy_timeout_s)
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """A connection that cannot write. Raises FileNotFoundError or sqlite3.Error."""
    if not path.exists():
        raise FileNotFoundError(path)
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )


def file_identity(path: Path) -> tuple[int, int] | None:
    """Which file the path means now (device, inode); None if there is none. A deleted file can stay open unnoticed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that holds the write lock from its start, so that what it reads cannot change under it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _make_private(path: Path, create: bool) -> None:
    """The file is there, empty if it is new. One that is there is never opened here: closing any descriptor of it gives
    up all of this process's locks on it, and another process's SQLite then takes the log from under our connections
    (https://www.sqlite.org/howtocorrupt.html, 2.2)."""
    if create and not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o600))
    path.stat()
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _use_write_ahead_log(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switching needs the file alone and does not wait by itself when two processes come at once."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise sqlite3.OperationalError(f"this file system cannot hold a write-ahead log (journal mode {mode})")
        return
