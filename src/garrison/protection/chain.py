"""The hash chain, pure: how entries are linked, and whether what is stored is what was written.

    hash(n) = SHA-256( hash(n - 1) ‖ n as 8 bytes, big-endian ‖ body(n) )        hash(0) = 32 zero bytes

Both parts before the body have a fixed length, so that no two different inputs make the same bytes.

What a chain can and cannot know: a change, insertion, removal or reordering anywhere before the end breaks the link
after it. Removing the *end* leaves a shorter, valid chain; that is why the head (the highest durable number and its
hash) is kept in a second file. Someone who may write both files can still cut the end and set the head back, or
recompute the whole chain; only a head that is kept elsewhere (printed, exported, signed) shows that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

from garrison.protection.entries import GAP, decode

HASH_BYTES = 32
_number = Struct(">Q").pack
GENESIS = bytes(HASH_BYTES)


@dataclass(frozen=True)
class Head:
    """The end of a chain: how many entries, and the hash of the last one."""

    seq: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True)
class Page:
    """Consecutive entries as they are stored together: one body per line, and all their hashes in a row."""

    first: int
    last: int
    bodies: bytes
    hashes: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.bodies.split(b"\n")

    def hash_at(self, seq: int) -> bytes:
        start = (seq - self.first) * HASH_BYTES
        return self.hashes[start : start + HASH_BYTES]


@dataclass(frozen=True)
class Verdict:
    """`entries`: how many were found good, from the first on. `first_bad_seq`: where the ledger stops being true."""

    ok: bool
    entries: int
    first_bad_seq: int | None = None
    reason: str = ""


def link(previous: bytes, seq: int, body: bytes) -> bytes:
    return sha256(previous + _number(seq) + body).digest()


def extend(head: Head, bodies: Sequence[bytes]) -> Page:
    """The page that continues the chain after `head`. At least one body."""
    previous, hashes = head.hash, []
    for seq, body in enumerate(bodies, head.seq + 1):  # `link`, in place: this is most of a busy ledger's work
        previous = sha256(b"".join((previous, _number(seq), body))).digest()
        hashes.append(previous)
    return Page(head.seq + 1, head.seq + len(bodies), b"\n".join(bodies), b"".join(hashes))


def head_of(page: Page) -> Head:
    return Head(page.last, page.hash_at(page.last))


def check(pages: Iterable[Page], kept: Head | None) -> Verdict:
    """Walk the chain from its beginning. `kept` is the head from the second file, None when that is missing."""
    head = Head()
    gap: int | None = None
    kept_hash = GENESIS
    for page in pages:
        bad = _first_bad(head, page)
        if bad is not None:
            return Verdict(False, bad[0] - 1, *bad)
        if gap is None:
            gap = _gap_in(page)
        if kept is not None and page.first <= kept.seq <= page.last:
            kept_hash = page.hash_at(kept.seq)
        head = head_of(page)
    return _check_end(head, kept, kept_hash, gap)


def _first_bad(head: Head, page: Page) -> tuple[int, str] | None:
    """Number and reason of the first entry of this page that does not continue the chain."""
    expected = head.seq + 1
    if page.first != expected:
        return expected, f"entry {expected} is missing or out of order (found {page.first})"
    lines = page.lines
    previous = head.hash
    for seq, body in enumerate(lines, page.first):
        previous = link(previous, seq, body)
        if previous != page.hash_at(seq):
            return seq, f"entry {seq} is not what was written"
    if page.last != page.first + len(lines) - 1 or len(page.hashes) != len(lines) * HASH_BYTES:
        return page.first + len(lines), f"entries after {page.first + len(lines) - 1} are missing"
    return None


def _gap_in(page: Page) -> int | None:
    """Number of the first entry that records a missing end."""
    if GAP.encode() not in page.bodies:
        return None
    return next((seq for seq, body in enumerate(page.lines, page.first) if decode(body).action == GAP), None)


def _check_end(head: Head, kept: Head | None, kept_hash: bytes, gap: int | None) -> Verdict:
    if gap is not None:
        return Verdict(False, gap - 1, gap, f"entries were lost before entry {gap}, which says what was found missing")
    if kept is None:
        reason = "the head file is missing or unreadable, so that the end cannot be vouched for"
        return Verdict(False, head.seq, head.seq + 1, reason)
    if kept.seq > head.seq:
        return Verdict(False, head.seq, head.seq + 1, f"entries {head.seq + 1} to {kept.seq} are missing at the end")
    if kept.hash != kept_hash:
        return Verdict(False, max(kept.seq - 1, 0), kept.seq, f"the chain was rewritten at or before entry {kept.seq}")
    return Verdict(True, head.seq)
