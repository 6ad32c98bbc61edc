"""Starting a node in the background: a listening socket, a guardian, and the wait for the first sign of life."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from hashlib import sha256
from pathlib import Path

from garrison.kernel.errors import Conflict, Denied, GarrisonError, Invalid, Unavailable
from garrison.kernel.home import Home
from garrison.runtimes.guardianship import spawn_guardian
from garrison.surfaces.presence import NodeNote, running_node, wait_for_ends
from garrison.surfaces.settings import listen_address

START_S_MAX = 30.0
"""From the guardian's start to a listening gateway; servers start afterwards and have deadlines of their own."""

BACKLOG = 2048
LAST_WORDS = 5


def fleet_id(home: Home) -> str:
    """The same for the same folder, however it is written; in the mark of every server process."""
    return sha256(str(home.root.resolve()).encode()).hexdigest()[:16]


def node_argv(home: Home) -> list[str]:
    """The command line of a node. -P: a folder named garrison in the current folder must not be taken for us."""
    return [sys.executable, "-P", "-m", "garrison.surfaces.node", "--home", str(home.root)]


def open_listener(listen: str) -> socket.socket:
    """A listening socket; it is handed from node to node, so that a restart refuses no connection."""
    host, port = listen_address(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise Invalid("listen.unknown_host", f"{host} is not an address of this machine", "try 127.0.0.1") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(listen, error) from error
    return listener


def open_listeners(listen: str, workers: int) -> list[socket.socket]:
    """One listening socket for each worker, all on the same address; the kernel spreads connections over them.

    Sharing is allowed only once the address is ours alone: two fleets of one user must not share it by mistake.
    """
    first = open_listener(listen)
    found = [first]
    try:
        if workers > 1:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(1, workers):
            further = socket.socket(first.family, first.type, first.proto)
            found.append(further)
            further.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            further.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            further.bind(first.getsockname())
            further.listen(BACKLOG)
    except OSError as error:
        for each in found:
            each.close()
        raise _cannot_listen(listen, error) from error
    return found


def start_in_background(home: Home, *listeners: socket.socket) -> NodeNote:
    """Start guardian and node with what `desired.json` says; returns when the gateway listens.

    Raises `Unavailable` with the node's last words when it does not; what was started then is for the caller to stop.
    """
    (home.run / "node.json").unlink(missing_ok=True)
    marks = {name: _size(home.logs / name) for name in ("guardian.log", "node.out")}
    guardian = spawn_guardian(
        node_argv(home),
        home_run=home.run,
        fleet_id=fleet_id(home),
        mode="restart",
        fds=[listener.fileno() for listener in listeners],
        env=os.environ,
    )
    deadline = time.monotonic() + START_S_MAX
    while (note := running_node(home)) is None:
        ended = not wait_for_ends([guardian], 0.05)
        if ended or " died (" in _since(home.logs / "guardian.log", marks["guardian.log"]):
            raise _did_not_start(_since(home.logs / "node.out", marks["node.out"]), "it ended at once")
        if time.monotonic() > deadline:
            why = f"it does not listen after {START_S_MAX:g} s"
            raise _did_not_start(_since(home.logs / "node.out", marks["node.out"]), why)
    return note


def _did_not_start(output: str, why: str) -> GarrisonError:
    words = [line for line in output.splitlines() if line.strip()][-LAST_WORDS:]
    message = "the gateway did not start: " + ("\n  ".join(words) if words else why)
    return Unavailable("fleet.did_not_start", message, "its log may tell more: garrison logs")


def _cannot_listen(listen: str, error: OSError) -> GarrisonError:
    if error.errno == errno.EADDRINUSE:
        message = f"{listen} is taken by another process"
        return Conflict("listen.in_use", message, "give --listen 127.0.0.1:0 for any free port, or end that process")
    if error.errno == errno.EACCES:
        return Denied("listen.forbidden", f"{listen} may not be used by this user", "ports below 1024 belong to root")
    reason = (error.strerror or str(error)).lower()
    return Unavailable("listen.failed", f"{listen} cannot be listened on: {reason}", "give another --listen address")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _since(path: Path, offset: int) -> str:
    """What was written after the mark; from the beginning when the file was begun anew."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(offset if offset <= _size(path) else 0)
        return file.read().decode("utf-8", "replace")
