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
    for path in paths:
        for line in _last(path, lines):
            say(f"{path.name}: {line}" if len(paths) > 1 else line)
    if follow:
        for line in _coming(paths[0]):
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


def _last(path: Path, count: int) -> list[str]:
    with path.open("rb") as file:
        return [line.decode("utf-8", "replace").rstrip("\n") for line in deque(file, maxlen=count)]


def _coming(path: Path) -> Iterator[str]:
    """Lines as they are written; the file may be rotated away meanwhile."""
    file: BinaryIO = path.open("rb")
    file.seek(0, os.SEEK_END)
    try:
        while True:
            line = file.readline()
            if line.endswith(b"\n"):
                yield line.decode("utf-8", "replace").rstrip("\n")
                continue
            file.seek(-len(line), os.SEEK_CUR)
            time.sleep(POLL_S)
            file = _reopened(path, file)
    finally:
        file.close()


def _reopened(path: Path, file: BinaryIO) -> BinaryIO:
    try:
        moved = path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return file
    if not moved:
        return file
    file.close()
    return path.open("rb")
