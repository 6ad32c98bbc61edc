"""Configurations that were brought up, newest last, and the way back to the one before.

`revisions/NNNN-VERSION.json` each; `revisions/current` holds the number of the one in use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from garrison.kernel.errors import NotFound
from garrison.kernel.home import Home, write_private
from garrison.surfaces import desired as documents
from garrison.surfaces.desired import Desired

_NAME = re.compile(r"(\d{4,})-([0-9a-f]+)\.json")


@dataclass(frozen=True)
class Revision:
    number: int
    version: str
    """The snapshot's."""
    path: Path

    def read(self) -> Desired:
        return documents.decode(self.path.read_bytes())


def revisions(home: Home) -> list[Revision]:
    """Oldest first."""
    found = [
        Revision(int(match[1]), match[2], path)
        for path in home.revisions.glob("*.json")
        if (match := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda one: one.number)


def current(home: Home) -> Revision | None:
    try:
        number = int((home.revisions / "current").read_text())
    except (OSError, ValueError):
        return None
    return next((one for one in revisions(home) if one.number == number), None)


def store(home: Home, desired: Desired) -> Revision:
    """Keep what was brought up; the same content as the current one is not kept twice."""
    stored = msgspec.structs.replace(desired, listen_fd=-1, worker_fds=())
    now = current(home)
    if now is not None and now.read() == stored:
        return now
    known = revisions(home)
    number = known[-1].number + 1 if known else 1
    version = stored.snapshot().version
    path = home.revisions / f"{number:04d}-{version}.json"
    write_private(path, documents.encode(stored))
    revision = Revision(number, version, path)
    make_current(home, revision)
    return revision


def remember(home: Home, desired: Desired) -> None:
    """Keep what is desired under its version, brought up well or not: the ledger names versions only."""
    path = remembered(home, desired.snapshot().version)
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(path, documents.encode(msgspec.structs.replace(desired, listen_fd=-1, worker_fds=())))


def remembered(home: Home, version: str) -> Path:
    return home.revisions / "versions" / f"{version}.json"


def make_current(home: Home, revision: Revision) -> None:
    write_private(home.revisions / "current", f"{revision.number}\n".encode())


def before_current(home: Home) -> Revision:
    """The newest one before the current one that differs from it. Raises `NotFound`."""
    now = current(home)
    if now is not None:
        content = now.read()
        for one in reversed(revisions(home)):
            if one.number < now.number and one.read() != content:
                return one
    message = "there is no earlier configuration to go back to"
    raise NotFound("revision.none", message, f"every successful `garrison up` leaves one in {home.revisions}")
