"""The index beside the ledger: for each 4096 entries the range of their times, and which words they hold.

Nothing writes it while calls go on: whoever asks lets it grow first. It is a file of its own that may be deleted at any
time; it says only where *not* to look, and it is thrown away when it does not belong to the ledger as it is.

The words of a segment are a Bloom filter: four of its 65,536 bits for each word, so that less than one segment in a
hundred is looked at for nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from struct import Struct

from garrison.kernel.store import connect
from garrison.protection.entries import Entry, decode
from garrison.protection.pages import PRUNED
from garrison.protection.place import Place
from garrison.protection.store import Store

SEGMENT = 4096
BLOOM_BYTES = 8192
_SCHEMA = """
CREATE TABLE IF NOT EXISTS segments (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, earliest_ns INTEGER NOT NULL, latest_ns INTEGER NOT NULL,
    hash BLOB NOT NULL,            -- leaf hash of the last entry: whether it is still this ledger
    words BLOB NOT NULL
) STRICT
"""
FIELDS = ("kind", "call", "principal", "action", "server", "target", "outcome")
_texts = attrgetter(*FIELDS)
_positions = Struct("<4H").unpack_from

Word = tuple[str, str]
"""A field of the entry, and its text."""


def index_path(place: Place) -> Path:
    return place.beside.with_suffix(".index.sqlite")


class SearchIndex:
    """Opened for each question. Whatever is wrong with the file makes a search slow, never wrong."""

    def __init__(self, place: Place) -> None:
        self._path = index_path(place)

    def grown(self, store: Store) -> int:
        """Let it grow to the ledger's end; returns up to which entry it reaches, 0 when it cannot be used."""
        try:
            with closing(self._open()) as connection:
                known = self._known(connection, store)
                for first in range(known + 1, store.size() - SEGMENT + 2, SEGMENT):
                    row = _segment(store, first, first + SEGMENT - 1)
                    connection.execute("INSERT OR IGNORE INTO segments VALUES (?, ?, ?, ?, ?, ?)", row)
                    known = first + SEGMENT - 1
                return known
        except (sqlite3.Error, OSError):
            self._path.unlink(missing_ok=True)
            return 0

    def candidates(self, words: Sequence[Word], since_ns: int, until_ns: int, end: int) -> Iterator[tuple[int, int]]:
        """Segments that may hold such an entry, newest first, as numbers of their first and last entries."""
        query = (
            "SELECT first, last, words FROM segments WHERE latest_ns >= ? AND earliest_ns <= ? AND first <= ?"
            " ORDER BY first DESC"
        )
        bits = [bit for word in words for bit in _bits(word)]
        with closing(self._open()) as connection:
            for first, last, bloom in connection.execute(query, (since_ns, until_ns, end)):
                if all(bloom[bit >> 3] >> (bit & 7) & 1 for bit in bits):
                    yield first, last

    def _open(self) -> sqlite3.Connection:
        connection = connect(self._path)
        try:
            connection.execute("PRAGMA synchronous=OFF")  # what a power cut spoils is made anew
            connection.execute(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _known(self, connection: sqlite3.Connection, store: Store) -> int:
        """How far it reaches; an index of another ledger is emptied."""
        row = connection.execute("SELECT last, hash FROM segments ORDER BY first DESC LIMIT 1").fetchone()
        if row is None:
            return 0
        if row[0] <= store.size() and store.leaves(row[0], row[0]) == row[1]:
            return int(row[0])
        connection.execute("DELETE FROM segments")
        return 0


def _segment(store: Store, first: int, last: int) -> tuple[int, int, int, int, bytes, bytes]:
    found = list(_entries(store, first, last))
    times = [entry.time_ns for entry in found]
    columns = zip(*map(_texts, found), strict=True)
    words = [(name, text) for name, column in zip(FIELDS, columns, strict=False) for text in set(column)]
    earliest, latest = (min(times), max(times)) if times else (0, 0)
    return first, last, earliest, latest, store.leaves(last, last), _bloom(words)


def _entries(store: Store, first: int, last: int) -> Iterator[Entry]:
    for page in store.pages(first, last):
        for seq, body in enumerate(page.lines, page.first):
            if first <= seq <= last and body != PRUNED:
                yield decode(body)


def _bloom(words: Iterable[Word]) -> bytes:
    found = bytearray(BLOOM_BYTES)
    for word in words:
        for bit in _bits(word):
            found[bit >> 3] |= 1 << (bit & 7)
    return bytes(found)


def _bits(word: Word) -> tuple[int, ...]:
    return _positions(sha256(f"{word[0]}\0{word[1]}".encode("utf-8", "replace")).digest())
