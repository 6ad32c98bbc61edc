"""Bodies of calls beside the ledger: masked, encrypted for each principal (AES-256-GCM), out of the log itself.

The entry of a call holds only a commitment to each body, SHA-256( salt ‖ body ), so that the log proves what was kept
without telling anything of it: the salt is encrypted with the body. Once a subject's key is destroyed, nothing can be
read or guessed any more, and the log verifies as before.

    sealed = nonce, 12 bytes ‖ ciphertext and tag of ( salt, 32 bytes ‖ body )
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from garrison.kernel.errors import Unavailable
from garrison.kernel.store import connect
from garrison.protection.entries import Masking
from garrison.protection.retention import Hold
from garrison.protection.subject_keys import SubjectKeys
from garrison.telemetry.redaction import redactor

Side = Literal["request", "response"]
State = Literal["kept", "forgotten", "gone", "tampered"]
SIDES: Final[dict[str, frozenset[Side]]] = {
    "off": frozenset(),
    "requests": frozenset({"request"}),
    "responses": frozenset({"response"}),
    "both": frozenset({"request", "response"}),
}
_SALT_BYTES = 32
_NONCE_BYTES = 12
_SCHEMA = """
CREATE TABLE IF NOT EXISTS bodies (
    commitment BLOB PRIMARY KEY,   -- as in the ledger's entry
    call TEXT NOT NULL, side TEXT NOT NULL, principal TEXT NOT NULL, server TEXT NOT NULL, time_ns INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True)
class Whose:
    """What a body belongs to; its encryption is bound to call, side and principal."""

    call: str
    side: Side
    principal: str
    server: str
    time_ns: int

    def bound(self) -> bytes:
        return "\0".join(("garrison body 1", self.call, self.side, self.principal)).encode("utf-8", "replace")


@dataclass(frozen=True)
class Body:
    """state: `forgotten` when the subject's key was destroyed, `gone` when the body is not there (any more)."""

    whose: Whose | None
    state: State
    content: str = ""


class BodyStore:
    """The database, mode 0600. Safe for several threads and processes."""

    def __init__(self, path: Path, keys: SubjectKeys) -> None:
        """Unavailable (`audit.bodies_unwritable`) if it cannot be opened."""
        self._keys = keys
        self._lock = threading.Lock()
        with _explained():
            self._connection = connect(path)
            self._connection.execute("PRAGMA synchronous=NORMAL")  # a killed process loses none, a power cut the last
            self._connection.execute("PRAGMA secure_delete=ON")
            self._connection.execute(_SCHEMA)

    def keep(self, whose: Whose, content: bytes) -> bytes:
        """Returns the commitment. Raises `Unavailable` when it cannot be kept."""
        salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        commitment = sha256(salt + content).digest()
        sealed = nonce + AESGCM(self._keys.of(whose.principal)).encrypt(nonce, salt + content, whose.bound())
        row = (commitment, whose.call, whose.side, whose.principal, whose.server, whose.time_ns, sealed)
        with _explained(), self._lock:
            self._connection.execute("INSERT INTO bodies VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return commitment

    def read(self, commitment: bytes) -> Body:
        query = "SELECT call, side, principal, server, time_ns, sealed FROM bodies WHERE commitment = ?"
        with _explained(), self._lock:
            row = self._connection.execute(query, (commitment,)).fetchone()
        if row is None:
            return Body(None, "gone")
        whose, sealed = Whose(*row[:5]), row[5]
        key = self._keys.find(whose.principal)
        if key is None:
            return Body(whose, "forgotten")
        try:
            opened = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], whose.bound())
        except InvalidTag:  # of a key that was destroyed, and made anew since; or somebody was at it
            return Body(whose, "forgotten" if self._is_older_than_key(whose) else "tampered")
        if sha256(opened).digest() != commitment:
            return Body(whose, "tampered")
        return Body(whose, "kept", opened[_SALT_BYTES:].decode("utf-8", "replace"))

    def forget(self, principal: str) -> tuple[int, bool]:
        """Destroy the key, and remove what it sealed. Returns how many bodies, and whether there was a key."""
        had_key = self._keys.destroy(principal)
        with _explained(), self._lock:
            count = self._connection.execute("DELETE FROM bodies WHERE principal = ?", (principal,)).rowcount
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count, had_key

    def prune(self, horizon_ns: int, holds: Sequence[Hold]) -> int:
        """Remove what is older and not held. Returns how many."""
        query = "SELECT commitment, principal, server, time_ns FROM bodies WHERE time_ns < ?"
        with _explained(), self._lock:
            found = self._connection.execute(query, (horizon_ns,)).fetchall()
            gone = [(row[0],) for row in found if not any(hold.covers(row[1], row[2], row[3]) for hold in holds)]
            self._connection.executemany("DELETE FROM bodies WHERE commitment = ?", gone)
        return len(gone)

    def prune_and_close(self, horizon_ns: int, holds: Sequence[Hold]) -> int:
        try:
            return self.prune(horizon_ns, holds)
        finally:
            self.close()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _is_older_than_key(self, whose: Whose) -> bool:
        made_ns = self._keys.made_ns(whose.principal)
        return made_ns is not None and whose.time_ns < made_ns


class BodyKeeper:
    """Keeps what the settings ask for. `servers`: patterns; `*` matches everything."""

    def __init__(
        self,
        store: Callable[[], BodyStore],
        sides: frozenset[Side],
        servers: Sequence[str],
        bytes_max: int,
        mask: Masking = redactor,
    ) -> None:
        self._open = store
        self._store: BodyStore | None = None
        self._sides = sides
        self._servers = tuple(servers)
        self._bytes_max = bytes_max
        self._mask = mask
        self._known: dict[str, frozenset[Side]] = {}

    def begin(self) -> None:
        """Open the store now, so that a fleet that cannot keep bodies does not start. Raises `Unavailable`."""
        if self._store is None:
            self._store = self._open()

    def sides(self, server: str) -> frozenset[Side]:
        """Which bodies of this server's calls are kept."""
        found = self._known.get(server)
        if found is None:
            matches = any(fnmatchcase(server, pattern) for pattern in self._servers)
            found = self._known[server] = self._sides if matches and server else frozenset()
        return found

    def keep(self, whose: Whose, body: Any) -> dict[str, object]:
        """What the entry says of it. `body`: decoded JSON. Raises `Unavailable`."""
        self.begin()
        assert self._store is not None
        content = msgspec.json.encode(self._mask.value(body))
        kept = content[: self._bytes_max]
        commitment = self._store.keep(whose, kept)
        found: dict[str, object] = {"commitment": commitment.hex(), "bytes": len(content)}
        return found | ({"kept_bytes": len(kept)} if len(kept) < len(content) else {})

    def close(self) -> None:
        if self._store is not None:
            self._store.close()


def commitments(detail: object) -> Iterator[tuple[Side, bytes]]:
    """Those that an entry's detail holds."""
    if not isinstance(detail, dict):
        return
    for side in ("request", "response"):
        found = detail.get(side)
        text = found.get("commitment") if isinstance(found, dict) else None
        if isinstance(text, str) and len(text) == 64:
            yield side, bytes.fromhex(text)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        hint = "Free disk space or repair the home; or set audit.bodies to off."
        raise Unavailable("audit.bodies_unwritable", f"Bodies of calls cannot be kept: {error}.", hint) from error
