"""The tree over a store's entries, for proofs and for going on where the log ends: reads little, however long it is."""

from __future__ import annotations

from garrison.protection.merkle import (
    BLOCK,
    BLOCK_LEVEL,
    HASH_BYTES,
    Frontier,
    consistency_proof,
    inclusion_proof,
    pairs_of,
    root_at,
    stored_nodes,
    subtrees,
)
from garrison.protection.store import Store

BLOCKS_KEPT = 64


class StoredTree:
    """To be used within one `Store.reading` or `writing`. KeyError for what the log does not reach."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._blocks: dict[int, list[bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        if level >= BLOCK_LEVEL:
            return self._stored(level, index)
        block, within = divmod(index << level, BLOCK)
        start = (within >> level) * HASH_BYTES
        found = self._rows(block)[level][start : start + HASH_BYTES]
        if len(found) != HASH_BYTES:
            raise KeyError((level, index))
        return found

    def root(self, size: int) -> bytes:
        return root_at(size, self.node)

    def frontier(self, size: int) -> Frontier:
        return Frontier(size, [self.node(*one) for one in subtrees(0, size)])

    def inclusion(self, seq: int, size: int) -> list[bytes]:
        return inclusion_proof(seq - 1, size, self.node)

    def consistency(self, old: int, size: int) -> list[bytes]:
        return consistency_proof(old, size, self.node)

    def _stored(self, level: int, index: int) -> bytes:
        last = (index + 1) << level
        first, nodes = self._store.nodes_at(last)
        start = stored_nodes(first - 1, last - 1).index((level, index)) * HASH_BYTES
        return nodes[start : start + HASH_BYTES]

    def _rows(self, block: int) -> list[bytes]:
        """The complete subtrees within a block: by level, each level's hashes in a row."""
        if block not in self._blocks:
            if len(self._blocks) >= BLOCKS_KEPT:
                self._blocks.clear()
            self._blocks[block] = _rows(self._store.leaves(block * BLOCK + 1, (block + 1) * BLOCK))
        return self._blocks[block]


def _rows(leaves: bytes) -> list[bytes]:
    rows = [leaves]
    for _ in range(BLOCK_LEVEL - 1):
        row = rows[-1]
        whole = len(row) - len(row) % (2 * HASH_BYTES)
        rows.append(pairs_of(row[:whole]))
    return rows
