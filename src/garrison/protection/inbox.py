"""What callers have handed to the ledger's writer and it has not taken yet. Guarded by the ledger's lock."""

from __future__ import annotations

import asyncio
import concurrent.futures
from dataclasses import dataclass, field

Waiter = asyncio.Future[int] | concurrent.futures.Future[int]


@dataclass(slots=True)
class Batch:
    """Bodies in order, and who waits for them.

    waiters: each with how many of the bodies must be on disk for it, and whether the last of those is its own.
    spool_end: position in the spool behind these bodies; 0 when none is there.
    """

    bodies: list[bytes] = field(default_factory=list)
    waiters: list[tuple[int, bool, Waiter]] = field(default_factory=list)
    spool_end: int = 0

    def __bool__(self) -> bool:
        return bool(self.bodies or self.waiters)

    def wait(self, body: bytes, waiter: Waiter) -> None:
        """Add a body (empty: none) and who waits until it and all before it are on disk."""
        if body:
            self.bodies.append(body)
        self.waiters.append((len(self.bodies), bool(body), waiter))

    def add(self, other: Batch) -> None:
        """Put a later batch behind this one."""
        before = len(self.bodies)
        self.bodies += other.bodies
        self.waiters += [(before + count, own, waiter) for count, own, waiter in other.waiters]
        self.spool_end = max(self.spool_end, other.spool_end)

    def without_waiters(self) -> Batch:
        """Only what nobody waits for: those who wait are told of a failure, and theirs is dropped."""
        theirs = {count - 1 for count, own, _ in self.waiters if own}
        kept = [body for index, body in enumerate(self.bodies) if index not in theirs] if theirs else self.bodies
        return Batch(kept, [], self.spool_end)
