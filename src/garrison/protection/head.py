"""The head file: number of the last durable entry and root of the tree, beside the ledger, so that a cut end
is noticed.

It says the same as a checkpoint, without a signature and after every commit: what a checkpoint vouches for is older.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from garrison.kernel.home import write_private
from garrison.protection.pages import Head

_LINE = re.compile(rb"log (\d{20}) ([0-9a-f]{64})\n")
_FORMER = re.compile(rb"(\d{20}) ([0-9a-f]{64})\n")


def head_path(ledger: Path) -> Path:
    return ledger.with_suffix(".head")


def read_head(ledger: Path) -> Head | None:
    """None when the file is missing or is not a head. One of the former format gives a number only."""
    content = _content(ledger)
    found = _LINE.fullmatch(content)
    if found:
        return Head(int(found[1]), bytes.fromhex(found[2].decode()))
    former = read_former_head(ledger)
    return Head(former[0], b"") if former else None


def read_former_head(ledger: Path) -> tuple[int, bytes] | None:
    """Number and chained hash of a ledger in the former format."""
    found = _FORMER.fullmatch(_content(ledger))
    return (int(found[1]), bytes.fromhex(found[2].decode())) if found else None


def create_head(ledger: Path) -> None:
    """The head of an empty ledger, durable."""
    write_private(head_path(ledger), _line(Head()))


class HeadFile:
    """Overwrites the head in place: 90 bytes within one sector, so that no reader sees half of it.

    It is written after the entries are durable and not synced itself: after a power cut it may be older than the
    ledger, which proves less but is never wrong.
    """

    def __init__(self, ledger: Path) -> None:
        self._descriptor = os.open(head_path(ledger), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, head: Head) -> None:
        os.pwrite(self._descriptor, _line(head), 0)

    def close(self) -> None:
        os.close(self._descriptor)


def _content(ledger: Path) -> bytes:
    try:
        return head_path(ledger).read_bytes()
    except OSError:
        return b""


def _line(head: Head) -> bytes:
    return b"log %020d %s\n" % (head.seq, head.root.hex().encode())
