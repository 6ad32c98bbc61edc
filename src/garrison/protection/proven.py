"""Exports and proofs that carry what it takes to verify them: the public key is all that a reader needs beside them.

The formats are described in `verifier.py`, the program that verifies them without Garrison.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from garrison.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from garrison.protection.exporting import Request
from garrison.protection.ledger import writing_once
from garrison.protection.merkle import subtrees
from garrison.protection.notes import Checkpoint, parse
from garrison.protection.pages import PRUNED, Page
from garrison.protection.place import Place
from garrison.protection.reader import Filter
from garrison.protection.reading import open_reading
from garrison.protection.store import Store
from garrison.protection.tree import StoredTree
from garrison.protection.verifier import EXPORT, PROOF


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of an export."""

    format: str = EXPORT
    origin: str
    first: int
    last: int
    checkpoint: str
    before: list[str]
    after: list[str]


class Inclusion(msgspec.Struct, frozen=True, kw_only=True):
    """Entry `seq` is in the log that `checkpoint` vouches for. body: null when it was taken away."""

    format: str = PROOF
    type: str = "inclusion"
    seq: int
    leaf: str
    body: str | None
    checkpoint: str
    proof: list[str]


class Consistency(msgspec.Struct, frozen=True, kw_only=True):
    """The log that `checkpoint` vouches for is the one that had `root` at `size`, grown."""

    format: str = PROOF
    type: str = "consistency"
    size: int
    root: str
    checkpoint: str
    proof: list[str]


def lines(request: Request) -> Iterator[bytes]:
    """An export with proofs, line by line, against a checkpoint made now if the ledger can be written."""
    if request.wanted != Filter():
        message = "An export with proofs holds every entry of a range, so it cannot be filtered."
        raise Invalid("export.filtered", message, "Give --from and --to, or another --format.")
    with proving(request.place) as (store, newest):
        first, last = request.first, request.last or newest.head.seq
        if not first <= last <= newest.head.seq:
            raise _not_there(f"entries {first} to {last}", newest)
        yield _header(StoredTree(store), newest, first, last)
        for page in store.pages(first, last):
            yield from _entries(page, first, last)


def inclusion(place: Place, seq: int) -> Inclusion:
    """NotFound when there is no such entry."""
    with proving(place) as (store, newest):
        if not 1 <= seq <= newest.head.seq:
            raise _not_there(f"entry {seq}", newest)
        page = next(iter(store.pages(seq, seq)))
        body, leaf = page.lines[seq - page.first], page.hash_at(seq)
        path = StoredTree(store).inclusion(seq, newest.head.seq)
        return Inclusion(
            seq=seq,
            leaf=leaf.hex(),
            body=None if body == PRUNED else body.decode(),
            checkpoint=newest.for_others,
            proof=[one.hex() for one in path],
        )


def consistency(place: Place, size: int) -> Consistency:
    """NotFound when the log was never that long."""
    with proving(place) as (store, newest):
        if not 0 <= size <= newest.head.seq:
            raise _not_there(f"size {size}", newest)
        tree = StoredTree(store)
        path = tree.consistency(size, newest.head.seq)
        root = tree.root(size).hex()
        return Consistency(size=size, root=root, checkpoint=newest.for_others, proof=[one.hex() for one in path])


def encode(proof: Inclusion | Consistency) -> bytes:
    """The proof as one line, in the one way to write it."""
    return msgspec.json.encode(proof) + b"\n"


@contextmanager
def proving(place: Place) -> Iterator[tuple[Store, Checkpoint]]:
    """The log, and the newest checkpoint: one of now where that can be made. Conflict (`ledger.no_checkpoint`)."""
    if place.url or place.path.exists():
        with suppress(Unavailable), writing_once(place) as log:
            log.checkpoint()
    with open_reading(place) as store:
        newest = next((parse(note) for _, note in store.checkpoints(newest_only=True)), None)
        if newest is None:
            hint = "`garrison audit checkpoint` makes one, once there are entries."
            raise Conflict("ledger.no_checkpoint", f"No checkpoint vouches for {place} yet.", hint)
        yield store, newest


def _header(tree: StoredTree, newest: Checkpoint, first: int, last: int) -> bytes:
    head = Header(
        origin=newest.origin,
        first=first,
        last=last,
        checkpoint=newest.for_others,
        before=[tree.node(*one).hex() for one in subtrees(0, first - 1)],
        after=[tree.node(*one).hex() for one in subtrees(last, newest.head.seq)],
    )
    return msgspec.json.encode(head) + b"\n"


def _entries(page: Page, first: int, last: int) -> Iterator[bytes]:
    for seq, body in enumerate(page.lines, page.first):
        if first <= seq <= last:
            leaf = b'"leaf":"%s",' % page.hash_at(seq).hex().encode() if body == PRUNED else b""
            yield b'{"seq":%d,%s"body":%s}\n' % (seq, leaf, body)


def _not_there(what: str, newest: Checkpoint) -> NotFound:
    message = f"The log has no {what}: its newest checkpoint vouches for {newest.head.seq} entries."
    return NotFound("ledger.no_entry", message, "`garrison audit tail` shows the newest entries.")
