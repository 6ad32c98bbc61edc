"""Where a ledger is: its folder with the files beside it, and the database that holds its entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Place:
    """Everything that opens or reads a ledger takes a Place, or the bare path of one in SQLite.

    path: the SQLite file. url: `postgresql://…` when the entries are in PostgreSQL; it may hold a password, so it is
    never shown. Head, spools, key and newest checkpoint stand beside `path`, under a stem of their own for every
    database: what belongs to one log is never taken for another's.
    """

    path: Path
    url: str = field(default="", repr=False)

    @property
    def beside(self) -> Path:
        """What the files beside the database are named after."""
        if not self.url:
            return self.path
        parts = urlsplit(self.url)
        database = f"{parts.netloc.rpartition('@')[2]}{parts.path}{parse_qs(parts.query).get('options')}"
        return self.path.with_stem(f"{self.path.stem}-{sha256(database.encode()).hexdigest()[:12]}")

    @property
    def key(self) -> Path:
        """The private key that signs checkpoints, mode 0600."""
        return self.beside.with_suffix(".key")

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint as text, for copying elsewhere."""
        return self.beside.with_suffix(".checkpoint")

    def __str__(self) -> str:
        return f"the database of {self.path}" if self.url else str(self.path)


def place_of(ledger: Path | Place) -> Place:
    return ledger if isinstance(ledger, Place) else Place(ledger)
