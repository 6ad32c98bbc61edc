"""The verdict on a whole ledger, where it stands: pages, checkpoints, head file. Never writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from garrison.kernel.errors import NotFound, Unavailable
from garrison.protection.checking import Bad, Claim, Verdict, Walk, unsigned, verdict_of
from garrison.protection.head import read_head
from garrison.protection.notes import Checkpoint, PublicKey, parse
from garrison.protection.pages import Head
from garrison.protection.place import Place, place_of
from garrison.protection.reading import open_reading
from garrison.protection.signing import KeyFile
from garrison.protection.store import Store


@dataclass(frozen=True)
class Beside:
    """What stands beside the database, read before it: what is appended meanwhile only makes the log longer."""

    head: Head | None
    checkpoint: Checkpoint | None

    def claims(self) -> list[Claim]:
        found = [Claim(self.head, "the head file")] if self.head else []
        return found + ([Claim(self.checkpoint.head, "the checkpoint's file")] if self.checkpoint else [])


def verify_log(ledger: Path | Place, kept: Sequence[Checkpoint] = ()) -> Verdict:
    """Walk the whole log. `kept`: checkpoints from elsewhere, that it must still contain; see `checking` for what this
    can and cannot show. What does not hold is read again: its key may have been rotated under our eyes.
    Raises `Unavailable` for a database that cannot be reached."""
    place = place_of(ledger)
    verdict = _read(place, kept)
    return verdict if verdict.ok else _read(place, kept)


def _read(place: Place, kept: Sequence[Checkpoint]) -> Verdict:
    try:
        beside = _beside(place)
        with open_reading(place) as store:
            return _verify(place, store, beside, kept)
    except Bad as bad:
        return verdict_of(bad)
    except NotFound:
        return _of_nothing(place, kept)
    except Unavailable as error:
        if place.url:  # a database that is away has shown nothing that does not hold
            raise
        return Verdict(False, 0, 1, error.message)


def _verify(place: Place, store: Store, beside: Beside, kept: Sequence[Checkpoint]) -> Verdict:
    signed = [_parsed(size, note) for size, note in store.checkpoints()]
    claims = [Claim(one.head, f"the checkpoint at {one.head.seq} entries") for one in signed]
    elsewhere = [Claim(one.head, "a checkpoint that was kept elsewhere") for one in kept]
    walk = Walk([*claims, *beside.claims(), *elsewhere])
    walk.over(store.pages())
    vouching = [*signed, *([beside.checkpoint] if beside.checkpoint else []), *kept]
    if vouching:
        _check_signatures(place, store, walk, vouching)
    if beside.head is None:
        seq = walk.head.seq + 1
        raise Bad(seq, "the head file is missing or unreadable, so that the end cannot be vouched for")
    return Verdict(True, walk.head.seq, checkpoints=len(signed), pruned=walk.pruned, head=walk.head)


def _check_signatures(place: Place, store: Store, walk: Walk, vouching: Sequence[Checkpoint]) -> None:
    origin = store.fact("origin")
    for one in vouching:
        if one.origin != origin:
            raise Bad(max(one.head.seq, 1), f"the checkpoint at {one.head.seq} entries is of another log")
    trusted = public_key(place, store)
    if str(trusted) != store.fact("key"):
        raise Bad(walk.head.seq, "the key beside the ledger is not the one that its checkpoints are signed with")
    bad = unsigned(vouching, walk.keys, trusted)
    if bad is not None:
        raise bad


def public_key(place: Place, store: Store) -> PublicKey:
    """The key in force, of the file beside the ledger. Unavailable when there is none."""
    return KeyFile(place.key, store.fact("origin")).public(store.fact("key"))


def _beside(place: Place) -> Beside:
    head = read_head(place.beside)
    try:
        text = place.checkpoint.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Beside(head, None)
    except (OSError, UnicodeDecodeError) as error:
        raise Bad(1, f"the checkpoint's file cannot be read: {error}") from error
    checkpoint = parse(text)
    if checkpoint is None:
        raise Bad(1, "the checkpoint's file holds no checkpoint")
    return Beside(head, checkpoint)


def _parsed(size: int, note: str) -> Checkpoint:
    found = parse(note)
    if found is None or found.head.seq != size:
        raise Bad(max(size, 1), f"what is stored as the checkpoint at {size} entries is none")
    return found


def _of_nothing(place: Place, kept: Sequence[Checkpoint]) -> Verdict:
    """There is no database; perhaps there never was one."""
    try:
        claims = [*_beside(place).claims(), *(Claim(one.head, "") for one in kept)]
    except Bad as bad:
        return verdict_of(bad)
    missing = max((claim.head.seq for claim in claims), default=0)
    return Verdict(missing == 0, 0, 1 if missing else None, "the ledger's database is missing" if missing else "")
