"""Verifies what a Garrison ledger has given away: exports with proofs, proofs of inclusion and of consistency.

    python verify.py FILE --key PUBLIC_KEY [--since CHECKPOINT]

It needs Python 3.10 or newer and the package `cryptography`; nothing of Garrison, no network, no ledger: only FILE and
the public key, which `garrison audit key` prints (the key itself, or a file with it). CHECKPOINT is a checkpoint that
was kept elsewhere: FILE must then hold the same log, grown. Exit code 0: it holds; 1: it does not; 2: wrong use.

What is believed: the public key alone. The signature vouches for the root of a Merkle tree (RFC 6962), the root for
every entry. A checkpoint is a signed note (https://c2sp.org/tlog-checkpoint); FILE is one of these, made by
`garrison audit export --format jsonl` and `garrison audit prove`:

    {"format":"garrison-ledger-export-1","origin":…,"first":A,"last":B,"checkpoint":…,"before":[…],"after":[…]}
    {"seq":A,"body":[1,…]}                       one line per entry; its bytes between `"body":` and the last `}` are
    {"seq":N,"leaf":"…","body":null}             what was hashed; null: taken away, only its leaf hash is left
    …                                            before, after: the largest complete subtrees beside A to B

    {"format":"garrison-ledger-proof-1","type":"inclusion","seq":N,"leaf":…,"body":…,"checkpoint":…,"proof":[…]}
    {"format":"garrison-ledger-proof-1","type":"consistency","size":M,"root":…,"checkpoint":…,"proof":[…]}
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

EXPORT = "garrison-ledger-export-1"
PROOF = "garrison-ledger-proof-1"


class Refused(Exception):
    """FILE is not what it says that it is."""


class Key(NamedTuple):
    name: str
    id: bytes
    public: bytes


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes


class Found(NamedTuple):
    """What was verified: entries `first` to `last` of the log at `checkpoint`. pruned: how many have no body."""

    checkpoint: Checkpoint
    first: int
    last: int
    pruned: int = 0
    losses: tuple[str, ...] = ()


def read_key(text: str) -> Key:
    """`NAME+ID+BASE64`, or a file with that."""
    path = Path(text)
    if "+" not in text and path.is_file():
        text = path.read_text(encoding="utf-8")
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    raw = _base64(encoded)
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if len(raw) != 33 or raw[:1] != b"\1" or expected.hex() != key_id:
        raise Refused("this is not a ledger's public key (`garrison audit key` prints it)")
    return Key(name, expected, raw[1:])


def read_checkpoint(note: str) -> Checkpoint:
    """What it says, whether or not it is signed."""
    text = note.partition("\n\n")[0].split("\n")
    if len(text) < 3 or not re.fullmatch(r"0|[1-9][0-9]{0,18}", text[1]):
        raise Refused("there is no checkpoint where one should be")
    root = _base64(text[2])
    if len(root) != 32:
        raise Refused("the checkpoint has no root")
    return Checkpoint(text[0], int(text[1]), root)


def open_checkpoint(note: str, key: Key) -> Checkpoint:
    """What it says, once the key's signature is found good, and nothing else stands in it."""
    text, _, lines = note.partition("\n\n")
    signatures = lines.splitlines()
    if lines != "".join(line + "\n" for line in signatures) or not signatures:
        raise Refused("the checkpoint is not signed")
    parts = [line.split(" ") for line in signatures]
    if any(len(part) != 3 or part[0] != "—" for part in parts):
        raise Refused("the checkpoint's signatures cannot be read")
    known = [(part[1], _base64(part[2])) for part in parts]
    ours = [raw[4:] for name, raw in known if name == key.name and raw[:4] == key.id]
    if not ours:
        names = ", ".join(f"{name}+{raw[:4].hex()}" for name, raw in known)
        raise Refused(f"the checkpoint is not signed by {key.name}+{key.id.hex()}, but by {names}")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(ours[0], (text + "\n").encode())
    except InvalidSignature:
        raise Refused("the signature of the checkpoint is not good") from None
    return read_checkpoint(note)


def leaf_hash(body: bytes) -> bytes:
    return hashlib.sha256(b"\0" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """Grows by complete subtrees from left to right; knows its root at any time."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def push(self, level: int, hash_: bytes) -> None:
        rest = self.size >> level
        while rest & 1:
            hash_ = node_hash(self._peaks.pop(), hash_)
            rest >>= 1
        self._peaks.append(hash_)
        self.size += 1 << level

    def push_all(self, end: int, hashes: list[bytes]) -> None:
        """The subtrees from here to `end`; exactly as many as there are."""
        levels = list(_levels(self.size, end))
        if len(levels) != len(hashes):
            raise Refused("the export has not as many subtrees beside its entries as it must have")
        for level, hash_ in zip(levels, hashes, strict=True):
            self.push(level, hash_)

    def root(self) -> bytes:
        if not self._peaks:
            return hashlib.sha256().digest()
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found


def verify_export(lines: Iterable[bytes], key: Key, since: Checkpoint | None = None) -> Found:
    """Raises `Refused`. Reads as it goes; nothing is kept but a few hashes."""
    rest = iter(lines)
    header = _document(next(rest, b""), EXPORT, ("origin", "first", "last", "checkpoint", "before", "after"))
    checkpoint = open_checkpoint(_text(header, "checkpoint"), key)
    first, last = _number(header, "first"), _number(header, "last")
    if header.get("origin") != checkpoint.origin or not 1 <= first <= last + 1 <= checkpoint.size + 1:
        raise Refused("the export's first line does not fit its checkpoint")
    tree, walk = Tree(), _Walk(first, last, since)
    tree.push_all(first - 1, _hashes(header, "before"))
    walk.over(tree, rest)
    tree.push_all(checkpoint.size, _hashes(header, "after"))
    if tree.root() != checkpoint.root:
        raise Refused("the entries are not those that the checkpoint vouches for")
    walk.end()
    return Found(checkpoint, first, last, len(walk.missing), tuple(walk.losses))


class _Walk:
    """The entries of an export, one after another."""

    def __init__(self, first: int, last: int, since: Checkpoint | None) -> None:
        self._first, self._last, self._since = first, last, since
        self.missing: list[int] = []
        self.losses: list[str] = []
        self._taken: list[tuple[int, int]] = []
        if since is not None and since.size > last:
            raise Refused(
                f"the log was cut: the checkpoint kept elsewhere knows {since.size} entries, this ends at {last}"
            )
        if since is not None and first != 1:
            raise Refused("only an export from entry 1 on can be held against a checkpoint kept elsewhere")

    def over(self, tree: Tree, lines: Iterator[bytes]) -> None:
        self._compare(tree)
        for seq in range(self._first, self._last + 1):
            tree.push(0, self._leaf(seq, next(lines, b"")))
            self._compare(tree)
        if next(lines, b""):
            raise Refused(f"something follows behind entry {self._last}")

    def end(self) -> None:
        """Of a whole log: every body that is gone must be on the record as taken away."""
        if self._first == 1:
            gone = [seq for seq in self.missing if not any(first <= seq <= last for first, last in self._taken)]
            self.losses += [
                f"the body of entry {seq} is gone, and no pruning of it is on the record" for seq in gone[:1]
            ]

    def _compare(self, tree: Tree) -> None:
        if self._since is not None and tree.size == self._since.size and tree.root() != self._since.root:
            raise Refused(f"the log was rewritten at or before entry {tree.size}, since the checkpoint kept elsewhere")

    def _leaf(self, seq: int, line: bytes) -> bytes:
        start = b'{"seq":%d,' % seq
        if not line.startswith(start) or not line.endswith(b"}\n"):
            raise Refused(f"entry {seq} is missing, or not in its place")
        rest = line[len(start) : -2]
        if rest.startswith(b'"body":'):
            return self._leaf_of(seq, rest[7:])
        gone = re.fullmatch(rb'"leaf":"([0-9a-f]{64})","body":null', rest)
        if not gone:
            raise Refused(f"entry {seq} cannot be read")
        self.missing.append(seq)
        return bytes.fromhex(gone[1].decode())

    def _leaf_of(self, seq: int, body: bytes) -> bytes:
        if b'"ledger.' in body:
            self._own(seq, body)
        return leaf_hash(body)

    def _own(self, seq: int, body: bytes) -> None:
        """What the ledger says of itself: losses, and bodies that were taken away."""
        try:
            entry = json.loads(body)
            kind, action, outcome, detail = entry[2], entry[5], entry[8], entry[10]
        except (ValueError, LookupError, TypeError):
            return
        if kind == "change" and (action, outcome) in (("ledger.gap", "found"), ("ledger.taken_over", "broken")):
            self.losses.append(f"entry {seq} says that the ledger was found damaged: {json.dumps(detail)}")
        elif kind == "change" and action == "ledger.pruned" and isinstance(detail, dict):
            self._taken += [(run[0], run[1]) for run in detail.get("runs", []) if run[1] < seq]


def verify_proof(line: bytes, key: Key, since: Checkpoint | None = None) -> Found:
    """One entry is in the log, or the log is an older one grown. Raises `Refused`."""
    if b'"type":"inclusion"' in line[:80]:
        return _verify_inclusion(line, key)
    proof = _document(line, PROOF, ("type", "size", "root", "checkpoint", "proof"))
    checkpoint = open_checkpoint(_text(proof, "checkpoint"), key)
    if proof.get("type") != "consistency":
        raise Refused("this is neither a proof of inclusion nor of consistency")
    old = Checkpoint(checkpoint.origin, _number(proof, "size"), _hash(proof.get("root")))
    if since is not None and since != old:
        raise Refused(f"the proof begins at {old.size} entries with another log than the checkpoint kept elsewhere")
    if not is_consistent(old.size, checkpoint.size, old.root, checkpoint.root, _hashes(proof, "proof")):
        raise Refused(f"the log at {checkpoint.size} entries is not the one at {old.size}, grown")
    return Found(checkpoint, 1, old.size)


def _verify_inclusion(line: bytes, key: Key) -> Found:
    proof = _document(line, PROOF, ("type", "seq", "leaf", "body", "checkpoint", "proof"))
    checkpoint = open_checkpoint(_text(proof, "checkpoint"), key)
    seq, leaf, body = _number(proof, "seq"), _hash(proof.get("leaf")), proof.get("body")
    if body is not None and leaf_hash(_text(proof, "body").encode()) != leaf:
        raise Refused(f"entry {seq} is not what was written")
    if not is_included(leaf, seq - 1, checkpoint.size, _hashes(proof, "proof"), checkpoint.root):
        raise Refused(f"entry {seq} is not in the log at {checkpoint.size} entries")
    return Found(checkpoint, seq, seq, int(body is None))


def is_included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(one, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, one)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(old: int, size: int, old_root: bytes, root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162 section 2.1.4.2; and an empty log is the beginning of every other."""
    if old in (0, size):
        return not proof and old_root == (root if old == size else hashlib.sha256().digest())
    path = proof if old & (old - 1) else [old_root, *proof]
    if old > size or not path:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            older, newer = node_hash(one, older), node_hash(one, newer)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, one)
        at, last = at >> 1, last >> 1
    return last == 0 and (older, newer) == (old_root, root)


def verify_file(path: Path, key: Key, since: Checkpoint | None = None) -> Found:
    """An export or a proof, whichever it is. Raises `Refused`, or OSError."""
    with path.open("rb") as file:
        first = file.readline()
        if first.startswith(b'{"format":"%s"' % PROOF.encode()):
            if file.readline():
                raise Refused("something follows behind the proof")
            return verify_proof(first, key, since)
        file.seek(0)
        return verify_export(file, key, since)


def _levels(first: int, end: int) -> Iterator[int]:
    """The largest complete subtrees that stand side by side from leaf `first` to before `end`."""
    while first < end:
        level = (end - first).bit_length() - 1
        while first % (1 << level):
            level -= 1
        yield level
        first += 1 << level


def _document(line: bytes, kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """One line of JSON in the one way to write it, so that no byte of it can be changed unnoticed."""
    try:
        found = json.loads(line)
        exact = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except (ValueError, RecursionError):
        raise Refused("the file begins with something that cannot be read") from None
    if not isinstance(found, dict) or list(found) != ["format", *names] or found["format"] != kind or exact != line:
        raise Refused(f"the file does not begin like a {kind}")
    return found


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise Refused(f"{name} is missing")
    return value


def _number(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise Refused(f"{name} is no number")
    return value


def _hash(value: object) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise Refused("a hash cannot be read")
    return bytes.fromhex(value)


def _hashes(found: dict[str, Any], name: str) -> list[bytes]:
    values = found.get(name)
    if not isinstance(values, list) or len(values) > 128:
        raise Refused(f"{name} is no list of hashes")
    return [_hash(value) for value in values]


def _base64(text: str) -> bytes:
    """Strict: exactly one text stands for the bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if base64.b64encode(raw).decode() != text:
        raise Refused("what should be base64 is not")
    return raw


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify an export or a proof of a Garrison ledger.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", required=True, help="the public key, or a file with it")
    parser.add_argument("--since", type=Path, help="a file with a checkpoint that was kept elsewhere")
    wanted = parser.parse_args()
    try:
        since = read_checkpoint(wanted.since.read_text(encoding="utf-8")) if wanted.since else None
        found = verify_file(wanted.file, read_key(wanted.key), since)
    except (Refused, OSError, UnicodeDecodeError) as error:
        sys.stdout.write(f"{wanted.file} does NOT hold: {error}\n")
        return 1
    for loss in found.losses:
        sys.stdout.write(f"{wanted.file}: {loss}\n")
    sys.stdout.write(
        f"{wanted.file} holds: entries {found.first} to {found.last} ({found.pruned} without a body) of "
        f"{found.checkpoint.origin} at {found.checkpoint.size} entries\n"
    )
    return 1 if found.losses else 0


if __name__ == "__main__":
    sys.exit(main())
