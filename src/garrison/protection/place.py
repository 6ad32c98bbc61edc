"""Where a ledger is: its folder with the files beside it, and the database that holds its entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Everything that opens or reads a ledger takes a Place, or the bare path of one in SQLite.

    path: the SQLite file; head, spools, key and newest checkpoint stand beside it under the same stem, wherever the
    entries are. url: `postgresql://…` when they are in PostgreSQL; it may hold a password, so it is never shown.
    """

    path: Path
    url: str = field(default="", repr=False)

    @property
    def key(self) -> Path:
        """The private key that signs checkpoints, mode 0600."""
        return self.path.with_suffix(".key")

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint as text, for copying elsewhere."""
        return self.path.with_suffix(".checkpoint")

    def __str__(self) -> str:
        return f"the database of {self.path}" if self.url else str(self.path)


def place_of(ledger: Path | Place) -> Place:
    return ledger if isinstance(ledger, Place) else Place(ledger)
