"""Identifiers and randomness, injected so that tests can repeat them."""

from __future__ import annotations

import secrets
from itertools import count
from typing import Protocol


class Ids(Protocol):
    def new(self) -> str:
        """A short identifier that no one else has (letters and digits)."""
        ...


class RandomIds:
    """96 random bits as 24 hexadecimal digits."""

    def new(self) -> str:
        return secrets.token_hex(12)


class SequenceIds:
    """48 random bits once, then a count: unique across processes, and a tenth of the cost of fresh randomness.

    Whoever sees one can guess the next, so these are for records, never for secrets.
    """

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6)
        self._count = count(1)

    def new(self) -> str:
        return f"{self._prefix}{next(self._count):08x}"


class CountedIds:
    """`id1`, `id2`, …; for tests."""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._count = count(1)

    def new(self) -> str:
        return f"{self._prefix}{next(self._count)}"
