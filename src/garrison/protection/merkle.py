"""The Merkle tree over the ledger's entries, pure: RFC 6962 section 2.1, with the verification of RFC 9162 section 2.1.

    leaf(body)        = SHA-256( 0x00 ‖ body )
    node(left, right) = SHA-256( 0x01 ‖ left ‖ right )
    root()            = SHA-256( nothing )

The two prefixes keep a leaf from ever being taken for a node. Indices begin with 0 here; the ledger's numbers with 1.

A *complete* subtree (level, index) stands over the 2^level leaves from index · 2^level on. Its hash never changes once
the last of them is there, so those from `BLOCK_LEVEL` on are stored (`stored_nodes` says which a page of leaves
completes, and in which order): any proof then needs some 2 · 256 leaf hashes and a few stored ones, however long the
log is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from typing import Any, cast

HASH_BYTES = 32
BLOCK_LEVEL = 8
BLOCK = 1 << BLOCK_LEVEL
EMPTY_ROOT = sha256().digest()


def _for_nodes() -> Callable[[bytes], Any]:
    """Python's own SHA-256 where there is one: for the 65 bytes of a node it takes a third less than OpenSSL's, whose
    set-up costs more than the hashing."""
    for name in ("_sha2", "_sha256"):
        with suppress(ImportError):
            return cast("Callable[[bytes], Any]", import_module(name).sha256)
    return sha256


_sha256 = _for_nodes()

Node = Callable[[int, int], bytes]
"""(level, index) of a complete subtree → its hash."""


def leaf_hash(body: bytes) -> bytes:
    return sha256(b"\0" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return cast("bytes", _sha256(b"\1" + left + right).digest())


class Frontier:
    """The right edge of a growing tree: all that is needed to append to it and to know its root.

    `peaks` are the hashes of the largest complete subtrees, left to right: one for each 1 in `size` as a binary number.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    def copy(self) -> Frontier:
        return Frontier(self.size, self.peaks)

    def push(self, level: int, hash_: bytes) -> list[bytes]:
        """Append a complete subtree; `size` must be a multiple of its leaves. Returns the hashes of the larger ones
        that it completes, from `level + 1` upwards."""
        completed = []
        rest = self.size >> level
        while rest & 1:
            hash_ = _sha256(b"\1" + self.peaks.pop() + hash_).digest()
            completed.append(hash_)
            rest >>= 1
        self.peaks.append(hash_)
        self.size += 1 << level
        return completed

    def extend(self, leaves: bytes) -> bytes:
        """Append leaf hashes, all in a row. Returns the nodes to be stored that they complete, in a row as well."""
        found, at, end = [], 0, len(leaves)
        while at < end:
            take = min(end - at, (BLOCK - self.size % BLOCK) * HASH_BYTES)
            found += self._within_block(leaves[at : at + take])
            at += take
        return b"".join(found)

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        found = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            found = node_hash(peak, found)
        return found

    def _within_block(self, leaves: bytes) -> list[bytes]:
        """Leaves that stay within the block they begin in, level by level: much of a busy ledger's work is here.
        Returns what is to be stored, which is nothing unless they complete the block."""
        offset, row, edge, level = self.size % BLOCK, leaves, [], 0
        cut = len(self.peaks) - offset.bit_count()
        low = self.peaks[cut:]
        del self.peaks[cut:]
        while row and level < BLOCK_LEVEL:
            if offset >> level & 1:  # the lowest peak is the left half of the first one's parent
                row = low.pop() + row
            if len(row) & HASH_BYTES:  # an odd number of them: the last one waits for its right half
                edge.append(row[-HASH_BYTES:])
                row = row[:-HASH_BYTES]
            row = pairs_of(row)
            level += 1
        if row:
            self.size -= offset
            return [row, *self.push(BLOCK_LEVEL, row)]
        self.peaks += low + edge[::-1]
        self.size += len(leaves) // HASH_BYTES
        return []


def pairs_of(row: bytes) -> bytes:
    """The next level: an even number of hashes in a row become half as many."""
    return b"".join([_sha256(b"\1" + row[at : at + 64]).digest() for at in range(0, len(row), 64)])


def stored_nodes(first: int, last: int) -> list[tuple[int, int]]:
    """(level, index) of the nodes that are stored with the leaves `first` to `last` (both inclusive), in their order:
    those of a block or more that one of these leaves completes."""
    ends = range((first // BLOCK + 1) * BLOCK, last + 2, BLOCK)
    return [(level, (end >> level) - 1) for end in ends for level in range(BLOCK_LEVEL, _trailing_zeros(end) + 1)]


def subtrees(first: int, end: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the largest complete subtrees that stand side by side over the leaves from `first` to before
    `end`; the size of a tree that `end` is the end of must not matter."""
    while first < end:
        level = (end - first).bit_length() - 1
        if first:
            level = min(level, _trailing_zeros(first))
        yield level, first >> level
        first += 1 << level


def root_at(size: int, node: Node) -> bytes:
    return Frontier(size, [node(*one) for one in subtrees(0, size)]).root()


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1: the siblings from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    first, end, found = 0, size, []
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            found.append(_over(middle, end, node))
            end = middle
        else:
            found.append(_over(first, middle, node))
            first = middle
    return found[::-1]


def consistency_proof(old: int, size: int, node: Node) -> list[bytes]:
    """PROOF(old, D[size]) of RFC 6962 section 2.1.2; empty when `old` is 0 or `size`."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {old} is not the beginning of one of {size}")
    if old in (0, size):
        return []
    first, end, whole, found = 0, size, True, []
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            found.append(_over(middle, end, node))
            end = middle
        else:
            found.append(_over(first, middle, node))
            first, whole = middle, False
    if not whole:
        found.append(_over(first, end, node))
    return found[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(one, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, one)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162 section 2.1.4.2; and an empty tree is the beginning of every other."""
    if not 0 <= old <= size:
        return False
    if old in (0, size):
        return not proof and (old_root == root if old == size else old_root == EMPTY_ROOT)
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    return _climb(path, at, last) == (old_root, root)


def _climb(path: Sequence[bytes], at: int, last: int) -> tuple[bytes, bytes] | None:
    """Both roots that a consistency proof leads to; None if it is too long or too short."""
    old = new = path[0]
    for one in path[1:]:
        if last == 0:
            return None
        if at & 1 or at == last:
            old, new = node_hash(one, old), node_hash(one, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, one)
        at, last = at >> 1, last >> 1
    return (old, new) if last == 0 else None


def _over(first: int, end: int, node: Node) -> bytes:
    """The hash over the leaves from `first` to before `end`, a subtree's place in some tree."""
    found = [node(*one) for one in subtrees(first, end)]
    return Frontier(0, found).root()


def _split(count: int) -> int:
    """The largest power of two that is smaller than `count` (at least 2)."""
    return 1 << (count - 1).bit_length() - 1


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1
