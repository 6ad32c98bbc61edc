"""Whether the log is what was written, pure: one walk over all pages, held against everything that vouches for it.

What vouches for the log at some size is a *claim*: the head file, every checkpoint, a checkpoint that was kept
elsewhere. A changed body is found by its leaf hash, a changed leaf hash by its body and by the tree, a changed node by
the leaves below it; entries that were removed, inserted, reordered or written anew are found by the claims. What was
appended after the newest claim has only itself to speak for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

from garrison.kernel.errors import Invalid
from garrison.protection import records
from garrison.protection.entries import GAP, Entry, decode
from garrison.protection.merkle import HASH_BYTES, Frontier
from garrison.protection.notes import Checkpoint, PublicKey, parse_public
from garrison.protection.pages import PRUNED, Head, Page


@dataclass(frozen=True)
class Verdict:
    """`entries`: how many were found good, from the first on. `first_bad_seq`: where the ledger stops being true.
    `checkpoints`: how many hold. `pruned`: entries whose bodies were taken away, on the record."""

    ok: bool
    entries: int
    first_bad_seq: int | None = None
    reason: str = ""
    checkpoints: int = 0
    pruned: int = 0
    head: Head = field(default_factory=Head)


@dataclass(frozen=True)
class Claim:
    """The log has, or had, this head. `who`: in words, for a person."""

    head: Head
    who: str


@dataclass(frozen=True)
class KeyChange:
    seq: int
    former: str
    new: str


class Bad(Exception):
    """Number of the first entry that is not as it was, and why."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq
        self.reason = reason


class Walk:
    """Goes over the pages once, and knows then: the head, what the ledger records of itself, which bodies are gone."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        self._claims = sorted(claims, key=lambda claim: claim.head.seq, reverse=True)
        self._frontier = Frontier()
        self._spoilt: Bad | None = None
        self._missing: list[int] = []
        self._pruned: list[tuple[int, int]] = []
        self.keys: list[KeyChange] = []

    @property
    def head(self) -> Head:
        return Head(self._frontier.size, self._frontier.root())

    @property
    def pruned(self) -> int:
        return len(self._missing)

    def over(self, pages: Iterable[Page]) -> None:
        """Raises `Bad` at the first entry that is not what was written."""
        self._due(0)
        for page in pages:
            self._check_bodies(page)
            self._check_nodes(page)
            if records.OWN in page.bodies:
                self._read_own(page)
        self._check_end()

    def _check_bodies(self, page: Page) -> None:
        expected = self._frontier.size + 1
        if page.first != expected:
            raise Bad(expected, f"entry {expected} is missing or out of order (found {page.first})")
        lines = page.lines
        for at, body in enumerate(lines):
            if sha256(b"\0" + body).digest() != page.hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]:
                if body != PRUNED:
                    raise Bad(page.first + at, f"entry {page.first + at} is not what was written")
                self._missing.append(page.first + at)
        if page.last != page.first + len(lines) - 1 or len(page.hashes) != len(lines) * HASH_BYTES:
            seq = page.first + len(lines)
            raise Bad(seq, f"entries after {seq - 1} are missing")

    def _check_nodes(self, page: Page) -> None:
        """Grow the tree, stopping wherever a claim is to be looked at."""
        nodes, at = b"", 0
        while self._claims and self._claims[-1].head.seq <= page.last:
            end = (self._claims[-1].head.seq - page.first + 1) * HASH_BYTES
            nodes += self._frontier.extend(page.hashes[at:end])
            at = end
            self._due(self._frontier.size)
        nodes += self._frontier.extend(page.hashes[at:])
        if nodes != page.nodes:
            raise Bad(page.first, f"the tree's nodes stored with entries {page.first} to {page.last} are not theirs")

    def _due(self, size: int) -> None:
        while self._claims and self._claims[-1].head.seq == size:
            claim = self._claims.pop()
            if claim.head.root and claim.head.root != self._frontier.root():
                raise Bad(max(size, 1), f"the log was rewritten at or before entry {size}: {claim.who} says otherwise")

    def _read_own(self, page: Page) -> None:
        for seq, body in enumerate(page.lines, page.first):
            if records.OWN in body:
                entry = decode(body)
                if entry.kind == "change" and entry.action.startswith("ledger."):
                    self._take(seq, entry)

    def _take(self, seq: int, entry: Entry) -> None:
        detail = entry.detail or {}
        if entry.action == GAP:
            self._spoil(seq, f"entries were lost before entry {seq}, which says what was found missing")
        elif entry.action == records.TAKEN_OVER and entry.outcome == "broken":
            bad = detail.get("first_bad")
            reason = f"when entry {seq} took it over from the former format, it did not hold: {detail.get('reason')}"
            self._spoil(bad if isinstance(bad, int) else seq, reason)
        elif entry.action == records.KEY:
            self.keys.append(KeyChange(seq, str(detail.get("former")), str(detail.get("new"))))
        elif entry.action == records.PRUNED:
            self._pruned += _runs(detail.get("runs"), seq)

    def _spoil(self, seq: int, reason: str) -> None:
        if self._spoilt is None:
            self._spoilt = Bad(seq, reason)

    def _check_end(self) -> None:
        size = self._frontier.size
        if self._spoilt is not None:
            raise self._spoilt
        if self._claims:
            most = self._claims[0]
            reason = f"entries {size + 1} to {most.head.seq} are missing at the end: {most.who} knows of them"
            raise Bad(size + 1, reason)
        unexplained = _not_within(self._missing, self._pruned)
        if unexplained is not None:
            raise Bad(unexplained, f"the body of entry {unexplained} is gone, and no pruning of it is on the record")


def check(pages: Iterable[Page], claims: Sequence[Claim]) -> Verdict:
    """The walk alone, without signatures: for whom the claims are true anyway."""
    walk = Walk(claims)
    try:
        walk.over(pages)
    except Bad as bad:
        return verdict_of(bad)
    return Verdict(True, walk.head.seq, pruned=walk.pruned, head=walk.head)


def verdict_of(bad: Bad) -> Verdict:
    return Verdict(False, bad.seq - 1, bad.seq, bad.reason)


def unsigned(checkpoints: Iterable[Checkpoint], keys: Sequence[KeyChange], current: PublicKey) -> Bad | None:
    """The first checkpoint without a valid signature of the key that was in force at its size, if there is one.

    Trust comes from the key that is in force now; who was before it is what the entries say that it vouches for.
    """
    if keys and keys[-1].new != str(current):
        return Bad(keys[-1].seq, f"entry {keys[-1].seq} put another key in force than the one that is trusted")
    for checkpoint in checkpoints:
        size = checkpoint.head.seq
        signer = _in_force(size, keys, current)
        if signer is None or not checkpoint.is_signed_by(signer):
            return Bad(max(size, 1), f"the checkpoint at {size} entries is not signed by the key of its time")
        before = _in_force(max(size - 1, 0), keys, current)  # which signs a change of keys as well
        if len(checkpoint.signatures) > 1 + (
            before is not None and before != signer and checkpoint.is_signed_by(before)
        ):
            return Bad(max(size, 1), f"the checkpoint at {size} entries has a signature that nobody can have made")
    return None


def _in_force(size: int, keys: Sequence[KeyChange], current: PublicKey) -> PublicKey | None:
    """The key at this size; None when what stands on the record is no key, or no chain of keys."""
    after = [change for change in keys if change.seq > size]
    if any(earlier.new != later.former for earlier, later in pairwise(after)):
        return None
    try:
        return parse_public(after[0].former) if after else current
    except Invalid:
        return None


def _runs(value: object, before: int) -> Iterator[tuple[int, int]]:
    for run in value if isinstance(value, list) else ():
        match run:
            case [int(first), int(last)] if 0 < first <= last < before:
                yield first, last


def _not_within(missing: Sequence[int], runs: Iterable[tuple[int, int]]) -> int | None:
    """The first number that none of the runs holds."""
    ordered = sorted(runs, reverse=True)
    end = 0
    for seq in missing:
        while ordered and ordered[-1][0] <= seq:
            end = max(end, ordered.pop()[1])
        if seq > end:
            return seq
    return None
