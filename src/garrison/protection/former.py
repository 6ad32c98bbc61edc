"""The former format, in which a chain of hashes linked the entries. It is read once, to take a ledger over.

    hash(n) = SHA-256( hash(n - 1) ‖ n as 8 bytes, big-endian ‖ body(n) )        hash(0) = 32 zero bytes

The bodies stay as they are, so that whoever has kept a hash of the chain can still compute it from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

from garrison.protection.merkle import Frontier, leaf_hash
from garrison.protection.pages import Page

GENESIS = bytes(32)
_number = Struct(">Q").pack


@dataclass
class Former:
    """What the chain was found to be, once all its pages have passed `taken_over`."""

    kept: tuple[int, bytes] | None
    """The head file's number and hash."""
    seq: int = 0
    hash: bytes = GENESIS
    first_bad_seq: int | None = None
    reason: str = ""

    def taken_over(self, pages: Iterable[Page]) -> Iterator[Page]:
        """Pages with chained hashes, in order, become pages of the tree. Bodies that do not fit are kept like others,
        and move up where some are missing; that they did not fit is what the ledger then says for ever."""
        frontier = Frontier()
        for page in pages:
            self._follow(page)
            leaves = b"".join([leaf_hash(body) for body in page.lines])
            first = frontier.size + 1
            nodes = frontier.extend(leaves)
            yield Page(first, frontier.size, leaves, nodes, page.bodies)
        self._check_end()

    def _follow(self, page: Page) -> None:
        if page.first != self.seq + 1:
            self._spoilt(self.seq + 1, f"entry {self.seq + 1} is missing or out of order")
        for seq, body in enumerate(page.lines, page.first):
            self.seq, self.hash = seq, sha256(self.hash + _number(seq) + body).digest()
            if self.hash != page.hash_at(seq):
                self._spoilt(seq, f"entry {seq} is not what was written")
            if self.kept is not None and self.kept[0] == seq and self.kept[1] != self.hash:
                self._spoilt(seq, f"the chain was rewritten at or before entry {seq}")

    def _check_end(self) -> None:
        if self.kept is None:
            self._spoilt(self.seq + 1, "the head file is missing or unreadable")
        elif self.kept[0] > self.seq:
            self._spoilt(self.seq + 1, f"entries {self.seq + 1} to {self.kept[0]} are missing at the end")

    def _spoilt(self, seq: int, reason: str) -> None:
        if self.first_bad_seq is None:
            self.first_bad_seq, self.reason = seq, reason
