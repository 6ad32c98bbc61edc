"""What a ledger's database must be able to do; tests/contracts/test_store_contract.py holds every one of them to it.

A store keeps pages, checkpoints, marks (how far each spool is in it) and a few facts by name. It forbids that pages
and checkpoints are changed or removed, against accidents: what shows intent is the tree. It computes nothing: that is
`log.py` for writing and `reader.py` for reading.

The variants: `sqlite_store.py`, and `postgres_store.py` in the extra `postgres`. `open_store` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from types import ModuleType
from typing import Final, Protocol, cast

from garrison.kernel.errors import Invalid, Unsupported
from garrison.protection.pages import Page
from garrison.protection.place import Place

SQLITE: Final = "garrison.protection.sqlite_store"
POSTGRES: Final = "garrison.protection.postgres_store"
BY_SCHEME: Final = {"postgresql": POSTGRES, "postgres": POSTGRES}
"""Scheme of a place's URL → the module of its store; imported when it is needed."""


class Store(Protocol):
    """One connection. Not safe for several threads at once. Whatever fails raises `sqlite3.Error` or `OSError`."""

    def writing(self) -> AbstractContextManager[None]:
        """One transaction, durable at its end, that no other writer of the same ledger overlaps. What was done is
        undone if the block raises."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """One consistent view; what others append meanwhile is not in it."""
        ...

    def size(self) -> int:
        """Number of the last entry; 0 when there is none."""
        ...

    def insert(self, page: Page) -> None:
        """Append a page; it must begin behind the last entry."""
        ...

    def pages(
        self, first: int = 1, last: int | None = None, *, backwards: bool = False, holding: bytes = b""
    ) -> Iterator[Page]:
        """The pages with any of these entries, in order or `backwards`; only those whose bodies hold these bytes."""
        ...

    def leaves(self, first: int, last: int) -> bytes:
        """Leaf hashes of entries, in a row."""
        ...

    def nodes_at(self, seq: int) -> tuple[int, bytes]:
        """First entry and nodes of the page that holds an entry. KeyError if there is none."""
        ...

    def replace_bodies(self, first: int, bodies: bytes) -> None:
        """Other bodies for the page that begins with this entry: for pruning, and nothing else."""
        ...

    def mark(self, name: str) -> int:
        """A position set by `set_marks`; 0 if there is none."""
        ...

    def set_marks(self, marks: Sequence[tuple[str, int]]) -> None: ...

    def fact(self, name: str) -> str:
        """`origin`, `key`; empty if unknown."""
        ...

    def set_fact(self, name: str, value: str) -> None: ...

    def checkpoints(self, newest_only: bool = False) -> Iterator[tuple[int, str]]:
        """Size and text, by size."""
        ...

    def add_checkpoint(self, size: int, text: str) -> None: ...

    def close(self) -> None: ...


Opener = Callable[[Place, bool, bool], Store]


def open_store(place: Place, *, create: bool = False, read_only: bool = False) -> Store:
    """Open a ledger's database. FileNotFoundError when it is missing and `create` is false; otherwise `sqlite3.Error`
    or `OSError`. Conflict (`ledger.former_format`) when it must first be taken over. Unsupported without the extra."""
    return cast("Opener", vars(_module(place))["open_store"])(place, create, read_only)


def _module(place: Place) -> ModuleType:
    if not place.url:
        return import_module(SQLITE)
    scheme = place.url.partition(":")[0]
    if scheme not in BY_SCHEME:
        raise Invalid("ledger.url", "ledger.url is no address of a PostgreSQL.", "postgresql://USER@HOST/DATABASE")
    try:
        return import_module(BY_SCHEME[scheme])
    except ImportError as error:
        if error.name is not None and not error.name.startswith("psycopg"):
            raise
        message = "The ledger is to be in PostgreSQL, but the package psycopg is not installed."
        raise Unsupported("ledger.postgres_missing", message, "pip install 'garrison[postgres]'") from error
