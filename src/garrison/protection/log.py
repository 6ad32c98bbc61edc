"""Writing the ledger's log: pages behind one another, the tree that grows with them, the head file, checkpoints.

The tree's right edge (`merkle.Frontier`) is kept from one append to the next; what other processes wrote meanwhile is
read in first, so that any number of them build one and the same tree.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from garrison.kernel.clock import Clock, rfc3339
from garrison.kernel.home import write_private
from garrison.protection import records
from garrison.protection.entries import decode
from garrison.protection.former import Former
from garrison.protection.head import HeadFile, create_head, read_former_head, read_head
from garrison.protection.merkle import BLOCK, Frontier
from garrison.protection.notes import Checkpoint, parse, public_of, sign
from garrison.protection.pages import PRUNED, Head, Page
from garrison.protection.place import Place
from garrison.protection.signing import KeyFile
from garrison.protection.sqlite_store import SqliteStore
from garrison.protection.store import open_store
from garrison.protection.tree import StoredTree

PAGE_ENTRIES_MAX = 1024


class Log:
    """Appends to one ledger; any number of these, in any number of processes, may write to the same one."""

    def __init__(self, place: Place, clock: Clock, *, create: bool = True) -> None:
        """Open, or create. What is missing at the end is put on the record; a former format is taken over."""
        self._place = place
        self._clock = clock
        self._frontier = Frontier()
        self._store = open_store(place, create=create)
        try:
            found = self._prepare()
            self._head_file = HeadFile(place.beside)
            if found is not None:
                self.note(found)
            self._keys = KeyFile(place.key, self.origin)
        except BaseException:
            self._store.close()
            raise

    @property
    def origin(self) -> str:
        return self._store.fact("origin")

    def append(self, bodies: Sequence[bytes], marks: Sequence[tuple[str, int]] = ()) -> Head:
        """Add entries and set marks, durably and at once. Returns the new head. Nothing was added if it raises."""
        with self._writing():
            self._add(bodies)
            if marks:
                self._store.set_marks(marks)
        return self._head()

    def note(self, head: Head) -> None:
        """Tell the head file what is durable now. OSError if that fails; the entries are safe then all the same."""
        self._head_file.write(head)

    def mark(self, name: str) -> int:
        return self._store.mark(name)

    def probe(self) -> None:
        """Write something that is no entry, to see whether writing works again. Raises if not."""
        self.note(self.append((), marks=[("probe", self.mark("probe") + 1)]))

    @property
    def unsigned(self) -> int:
        """Entries that no checkpoint vouches for yet."""
        return self._store.size() - next((size for size, _ in self._store.checkpoints(newest_only=True)), 0)

    def checkpoint(self) -> Checkpoint | None:
        """Vouch for the log as it is now. Returns the newest checkpoint, which is an older one if nothing came since;
        None of an empty log."""
        with self._writing():
            if not self._frontier.size:
                return None
            newest = self._newest()
            if newest is None or newest.head.seq != self._frontier.size:
                newest = self._vouch([self._key_in_force()])
        self._publish(newest)
        return newest

    def rotate_key(self, principal: str) -> Checkpoint:
        """Another key signs from now on. The record of it is vouched for by both."""
        with self._writing():
            former = self._key_in_force()
            new = self._keys.prepare_next()
            public = str(public_of(new, self.origin))
            own = str(public_of(former, self.origin))
            self._add([records.key_changed(self._clock.wall_ns(), own, public, lost=False, principal=principal)])
            self._store.set_fact("key", public)
            made = self._vouch([former, new])
        self._keys.take_next(public)
        self._publish(made)
        self.note(self._head())
        return made

    def prune(self, runs: Iterable[tuple[int, int]], principal: str, why: str) -> int:
        """Take away the bodies of entries, given as runs of their numbers (both inclusive), in order. What the ledger
        says of itself stays. Their leaf hashes stay as well, and what was taken is on the record. Returns how many."""
        with self._writing():
            gone = [run for first, last in runs for run in self._take_away(first, min(last, self._frontier.size))]
            self._add(records.pruned(self._clock.wall_ns(), merged(gone), principal, why))
        self.note(self._head())
        return sum(last - first + 1 for first, last in gone)

    def close(self) -> None:
        self._head_file.close()
        self._store.close()

    def _prepare(self) -> Head | None:
        """Make what is missing. The new head, when something had to be put on the record."""
        if isinstance(self._store, SqliteStore) and self._store.is_former:
            self._take_over(self._store)
            return self._head()
        with self._writing():
            if not self._store.fact("origin"):
                self._begin()
            lost = self._gap()
            if lost is None:
                return None
            self._add([records.gap(self._clock.wall_ns(), lost)])
            return self._head()

    def _begin(self) -> None:
        self._store.set_fact("origin", f"garrison/ledger/{secrets.token_hex(8)}")
        if read_head(self._place.beside) is None:  # one that is there belongs to a ledger that was lost
            create_head(self._place.beside)

    def _gap(self) -> dict[str, object] | None:
        """What is missing at the end, when the head file knows more than the database."""
        kept, size = read_head(self._place.beside), self._frontier.size
        if kept is None:
            return {"reason": "the head file is missing or unreadable", "last_seq": size}
        if kept.seq > size:
            return {"reason": "entries are missing at the end", "from": size + 1, "to": kept.seq}
        return None

    def _take_over(self, store: SqliteStore) -> None:
        """The entries of the former format, as they are, under a tree; and what their chain was found to be."""
        with store.writing():
            if not store.is_former:  # another process was faster
                return
            former = Former(read_former_head(self._place.path))
            store.begin_takeover()
            for page in former.taken_over(store.former_pages()):
                store.insert(page)
            store.end_takeover()
            self._begin()
            self._catch_up()
            found = (former.seq, former.hash, former.first_bad_seq, former.reason)
            self._add([records.taken_over(self._clock.wall_ns(), *found)])

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction on the tree as it is now; if it fails, nothing of it stays in memory either."""
        try:
            with self._store.writing():
                self._catch_up()
                yield
        except BaseException:
            self._frontier = Frontier()
            raise

    def _catch_up(self) -> None:
        """Take in what others have appended. What is gone since is put on the record when the log is opened again."""
        size, known = self._store.size(), self._frontier.size
        if size < known:
            raise OSError(f"the ledger has lost entries {size + 1} to {known}")
        if known < size <= known + BLOCK:
            self._frontier.extend(self._store.leaves(known + 1, size))
        elif known != size:
            self._frontier = StoredTree(self._store).frontier(size)
        if self._frontier.size != size:
            raise OSError(f"the ledger's pages do not hold the {size} entries that they count")

    def _add(self, bodies: Sequence[bytes]) -> None:
        for start in range(0, len(bodies), PAGE_ENTRIES_MAX):
            part = bodies[start : start + PAGE_ENTRIES_MAX]
            first = self._frontier.size + 1
            leaves = b"".join([sha256(b"\0" + body).digest() for body in part])
            nodes = self._frontier.extend(leaves)
            self._store.insert(Page(first, first + len(part) - 1, leaves, nodes, b"\n".join(part)))

    def _head(self) -> Head:
        return Head(self._frontier.size, self._frontier.root())

    def _newest(self) -> Checkpoint | None:
        for _, note in self._store.checkpoints(newest_only=True):
            return parse(note)
        return None

    def _key_in_force(self) -> Ed25519PrivateKey:
        """The key to sign with. One that is not what was in force is put on the record."""
        known = self._store.fact("key")
        if known:
            self._keys.take_next(known)
        private = self._keys.private()
        public = str(public_of(private, self.origin))
        if known != public:
            if known:
                self._add([records.key_changed(self._clock.wall_ns(), known, public, lost=True)])
            self._store.set_fact("key", public)
        return private

    def _vouch(self, keys: Sequence[Ed25519PrivateKey]) -> Checkpoint:
        head = self._head()
        note = sign(self.origin, head, rfc3339(self._clock.wall_ns()), keys)
        self._store.add_checkpoint(head.seq, note)
        made = parse(note)
        assert made is not None
        return made

    def _publish(self, newest: Checkpoint) -> None:
        """For people who want to keep it elsewhere. Behind the database, never ahead of it."""
        write_private(self._place.checkpoint, newest.note.encode())

    def _take_away(self, first: int, last: int) -> list[tuple[int, int]]:
        """The runs that were really taken, page by page."""
        found: list[tuple[int, int]] = []
        while first <= last:
            page = next(iter(self._store.pages(first, first)))
            end = min(last, page.last)
            found += self._take_from(page, range(first, end + 1))
            first = end + 1
        return merged(found)

    def _take_from(self, page: Page, wanted: Iterable[int]) -> list[tuple[int, int]]:
        lines = page.lines
        taken = [seq for seq in wanted if _may_go(lines[seq - page.first])]
        for seq in taken:
            lines[seq - page.first] = PRUNED
        if taken:
            self._store.replace_bodies(page.first, b"\n".join(lines))
        return [(seq, seq) for seq in taken]


def merged(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs in order, those that touch made one."""
    found: list[tuple[int, int]] = []
    for first, last in runs:
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def _may_go(body: bytes) -> bool:
    return body != PRUNED and not (records.OWN in body and decode(body).action.startswith("ledger."))
