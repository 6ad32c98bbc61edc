"""Private Unix sockets in the home's run folder, for its owner only, however long the folder's path is."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)
BACKLOG = 128


def worker_socket(run: Path, number: int) -> Path:
    """Where a worker is reached by the others."""
    return run / f"worker-{number}.sock"


def relay_socket(run: Path) -> Path:
    """Where the primary is asked for servers behind pipes."""
    return run / "servers.sock"


def listen(path: Path) -> socket.socket:
    """Whatever an earlier process left at this place is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(path) as name:
        listener.bind(name)
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


async def dial(path: Path, make: Callable[[], P]) -> P:
    """Raises OSError when nobody listens there."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        end.setblocking(False)
        with _short(path) as name:
            end.connect(name)  # on Unix sockets this ends at once, in one way or the other
        _, protocol = await asyncio.get_running_loop().create_unix_connection(make, sock=end)
    except BaseException:
        end.close()
        raise
    return protocol


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The kernel takes names of up to 107 bytes (unix(7)); one through the folder's descriptor is always short."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
