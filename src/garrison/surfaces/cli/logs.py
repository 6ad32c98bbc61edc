"""`garrison logs`."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from garrison.kernel.errors import NotFound
from garrison.kernel.home import Home
from garrison.runtimes.serverlog import log_path
from garrison.surfaces.cli.options import EnvOption, HomeOption, home_of
from garrison.surfaces.cli.output import say
from garrison.telemetry import printable

app = typer.Typer(add_completion=False, rich_markup_mode=None)

OWN = ("garrison.log", "guardian.log", "node.out")
"""The node's log, its guardian's, and what the node printed when it died."""

POLL_S = 0.2


@app.command("logs")
def logs(
    server: Annotated[
        str, typer.Argument(metavar="[SERVER]", help="Default: the fleet's own logs.", show_default=False)
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
    home: HomeOption = None,
    env_name: EnvOption = "",
) -> None:
    """Show the last lines of a server's log, or of the fleet's own logs; works with the fleet down as well.

    Lines of servers: `err|` what it printed on stderr, `out|` noise on its stdout, `---|` remarks of Garrison.

    Examples: garrison logs; garrison logs git -n 200; garrison logs git -f
    """
    paths = _paths(home_of(home, env_name), server)
    ends = {}
    for path in paths:
        found, ends[path] = _last(path, lines)
        for line in found:
            say(f"{path.name}: {line}" if len(paths) > 1 else line)
    if follow:
        for line in _coming(paths[0], *ends[paths[0]]):
            say(line)


def _paths(home: Home, server: str) -> list[Path]:
    if not server:
        found = [path for name in OWN if (path := home.logs / name).exists()]
        return found or _missing(f"there are no logs in {home.logs}", "start the fleet once")
    path = log_path(home.logs / "servers", server)
    if path.exists():
        return [path]
    known = ", ".join(sorted(one.stem for one in (home.logs / "servers").glob("*.log")))
    return _missing(f"there is no log of a server {server!r}", f"there are logs of: {known or 'none'}")


def _missing(message: str, hint: str) -> list[Path]:
    raise NotFound("logs.none", message, hint)


def _last(path: Path, count: int) -> tuple[list[str], tuple[int, int]]:
    """The last lines, and where they ended: which file (inode), and how far it was read."""
    with path.open("rb") as file:
        lines = [_text(line) for line in deque(file, maxlen=count)]
        return lines, (os.fstat(file.fileno()).st_ino, file.tell())


def _coming(path: Path, inode: int, position: int) -> Iterator[str]:
    """Lines as they are written, from there on; the file may be rotated away meanwhile."""
    file: BinaryIO = path.open("rb")
    if os.fstat(file.fileno()).st_ino == inode:
        file.seek(position)
    try:
        while True:
            moved = _was_moved(path, file)  # asked before the rest is read, so that nothing of it is lost
            yield from _whole_lines(file)
            if moved:
                file.close()
                file = path.open("rb")
            else:
                time.sleep(POLL_S)
    finally:
        file.close()


def _whole_lines(file: BinaryIO) -> Iterator[str]:
    """What has been written to its end; the beginning of a line waits for the rest."""
    while (line := file.readline()).endswith(b"\n"):
        yield _text(line)
    file.seek(-len(line), os.SEEK_CUR)


def _was_moved(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _text(line: bytes) -> str:
    """Old logs, and those that others write into the folder, are no better than what wrote them."""
    return printable.lines(line.decode("utf-8", "replace").rstrip("\n"))
