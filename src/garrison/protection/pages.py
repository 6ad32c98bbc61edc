"""Pages: consecutive entries as they are stored together. And the head: how long the log is, and its root."""

from __future__ import annotations

from dataclasses import dataclass

from garrison.protection.merkle import EMPTY_ROOT, HASH_BYTES

PRUNED = b"null"
"""Stands where a body was taken away. Its leaf hash stays, so that the log verifies as before."""


@dataclass(frozen=True)
class Head:
    """seq: how many entries. root: of the tree over them; empty when only the number is known."""

    seq: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True)
class Page:
    """first, last: numbers of the entries, from 1. hashes: their leaf hashes, in a row. nodes: those of the tree that
    these entries complete (`merkle.stored_nodes`), in a row. bodies: one per line."""

    first: int
    last: int
    hashes: bytes
    nodes: bytes
    bodies: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.bodies.split(b"\n")

    def hash_at(self, seq: int) -> bytes:
        start = (seq - self.first) * HASH_BYTES
        return self.hashes[start : start + HASH_BYTES]
