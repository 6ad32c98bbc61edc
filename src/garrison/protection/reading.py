"""Opening a ledger to read it: one consistent view, and errors for people."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from garrison.kernel.errors import NotFound, Unavailable
from garrison.protection.place import Place, place_of
from garrison.protection.store import Store, open_store


@contextmanager
def open_reading(ledger: Path | Place) -> Iterator[Store]:
    """One consistent view of the ledger. NotFound (`ledger.missing`), Unavailable (`ledger.unreadable`), or Conflict
    (`ledger.former_format`)."""
    place = place_of(ledger)
    try:
        store = open_store(place, read_only=True)
    except FileNotFoundError as error:
        raise NotFound("ledger.missing", f"There is no ledger at {place}.", "Start the fleet once.") from error
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        raise _unreadable(error) from error
    try:
        with store.reading():
            yield store
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # a damaged file can hold names that are no UTF-8
        raise _unreadable(error) from error
    finally:
        store.close()


def _unreadable(error: Exception) -> Unavailable:
    hint = "If it is damaged, restore it from a backup; do not delete it."
    return Unavailable("ledger.unreadable", f"The ledger cannot be read: {error}.", hint)
