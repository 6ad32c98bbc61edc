"""API keys: create, list, rotate, revoke, and verify on every call."""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hmac import compare_digest
from pathlib import Path

import msgspec

from garrison.identity import key_table
from garrison.identity.key_format import KEY_CHARS, digest_of, mint, prefix_of
from garrison.identity.key_table import KeyRecord
from garrison.identity.principals import Principal
from garrison.identity.reach import check_scopes
from garrison.identity.roles import ADMIN_ROLE
from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from garrison.kernel.home import Home, write_private
from garrison.kernel.ids import Ids, RandomIds
from garrison.kernel.store import connect, file_identity, writing

RECHECK_S = 0.5
"""How long a revocation by another process may go unnoticed."""
USE_WRITTEN_EVERY_S = 30.0
ADMIN = "admin"

_NAME = re.compile(r"[A-Za-z0-9_.@ -]{1,128}")
_log = logging.getLogger(__name__)
_Live = tuple[Principal, bytes, int]
_Records = list[tuple[KeyRecord, bytes]]
_NEVER = 2**63 - 1
_ADMIN_HINT = "Move the file away to get a new key at the next start, or restore it."


class KeyStore:
    """The keys of one home. Several processes may work on the same file; each sees the others' changes within 1 s."""

    def __init__(self, path: Path, clock: Clock | None = None, ids: Ids | None = None) -> None:
        """Open or create. Unavailable if that fails."""
        self._path = path
        self._clock = clock or SystemClock()
        self._ids = ids or RandomIds()
        self._lock = threading.Lock()
        self._live: dict[str, _Live] = {}
        self.edition = object()
        """Another one whenever the keys were read anew: what was decided before may not hold any more."""
        self._on_changed: Callable[[], None] = lambda: None
        self._used: dict[str, int] = {}
        self._version = -1
        self._opened: tuple[int, int] | None = None
        self._recheck_at_s = 0.0
        self._write_use_at_s = self._clock.monotonic_s() + USE_WRITTEN_EVERY_S
        with _readable(path):
            self._connection = self._connect()
            self._version = self._data_version()
        self._load()

    def on_changed(self, listener: Callable[[], None]) -> None:
        """Call back whenever the keys were read anew, on whatever thread did so."""
        self._on_changed = listener

    def verify(self, presented: str) -> Principal | None:
        """Whose key this is; None if it is unknown, revoked or expired. Unavailable if the keys cannot be read.

        About 2 µs. The record is found by the public prefix, the secret is compared by its hash in constant time.
        """
        if self._clock.monotonic_s() >= self._recheck_at_s:
            self._refresh()
        if len(presented) != KEY_CHARS or not presented.isascii():
            return None
        prefix = presented[4:12]
        found = self._live.get(prefix)
        if found is None:
            return None
        principal, digest, expires_ns = found
        now_ns = self._clock.wall_ns()
        if not compare_digest(digest_of(presented), digest) or now_ns >= expires_ns:
            return None
        self._used[prefix] = now_ns
        return principal

    def ends_ns(self, presented: str) -> int:
        """When a key that was just verified expires, wall clock; 0 if it is not known any more."""
        found = self._live.get(presented[4:12])
        return found[2] if found is not None else 0

    def holder(self, presented: str) -> str:
        """The id of the principal that a key would be, were it right; empty if there is none. Proves nothing."""
        found = self._live.get(presented[4:12]) if len(presented) == KEY_CHARS else None
        return found[0].id if found is not None else ""

    def create(
        self,
        name: str,
        roles: Sequence[str],
        expires_at_ns: int | None = None,
        groups: Sequence[str] = (),
        scopes: Sequence[str] | None = None,
    ) -> tuple[KeyRecord, str]:
        """A new key: its record, and the secret, which is shown this once. Conflict if a live key has that name.

        `scopes`: patterns `SERVER` or `SERVER/TOOL` that bound what its roles allow; None for no bound.
        """
        _check_name(name)
        check_scopes(scopes or ())
        bounds = None if scopes is None else tuple(scopes)
        with self._changing() as records:
            if _live_named(records, name, self._clock.wall_ns()):
                raise Conflict(
                    "key.exists", f"There is a key named {name} already.", "Rotate it, or choose another name."
                )
            fresh = KeyRecord(
                prefix="",
                principal=self._new_principal(name),
                name=name,
                roles=tuple(roles),
                created_ns=0,
                expires_ns=expires_at_ns,
                groups=tuple(groups),
                scopes=bounds,
            )
            return self._add(fresh)

    def list(self) -> tuple[KeyRecord, ...]:
        """All keys, oldest first, the revoked and expired ones included."""
        self.write_use()
        with _readable(self._path), self._lock:
            return tuple(record for record, _ in key_table.load(self._connection))

    def revoke(self, key: str) -> tuple[KeyRecord, ...]:
        """End all live keys with this prefix or name, at once. NotFound if there is none."""
        with self._changing() as records:
            now_ns = self._clock.wall_ns()
            found = _found(records, key, now_ns)
            key_table.mark_revoked(self._connection, [one.prefix for one in found], now_ns)
        return found

    def rotate(self, name: str, overlap_s: float = 0.0) -> tuple[KeyRecord, str]:
        """A new secret for the same principal; the old one ends after the overlap. NotFound if there is none."""
        if name == ADMIN:
            hint = "Use the administrator's own rotation, which renews that file too."
            raise Invalid("key.admin", "The administrator's key is kept in admin.key.", hint)
        with self._changing() as records:
            return self._replace(records, name, overlap_s)

    def ensure_admin(self, home: Home) -> KeyRecord:
        """Make `home.admin_key` and its record with role `admin` on the first start; later, keep what is there.

        Processes that start together agree on one key: all of this happens under the database's write lock.
        """
        with self._changing() as records:
            if not home.admin_key.exists():
                return self._make_admin(home, records)
            home.admin_key.chmod(0o600)
            return self._restore_admin(home, records)

    def rotate_admin(self, home: Home, overlap_s: float = 0.0) -> KeyRecord:
        """Rotate the administrator's key and put the new one into `home.admin_key`."""
        with self._changing() as records:
            record, key = self._replace(records, ADMIN, overlap_s)
            write_private(home.admin_key, key.encode())
        return record

    def write_use(self) -> None:
        """Write down when keys were last used; the next writing does it if this one cannot."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            connection = connect(self._path, create=False)
        except (sqlite3.Error, OSError) as error:
            self._use_not_written(used, error)
            return
        try:
            with writing(connection):
                key_table.mark_used(connection, used.items())
        except sqlite3.Error as error:
            self._use_not_written(used, error)
        finally:
            connection.close()

    def close(self) -> None:
        self.write_use()
        self._connection.close()
        with self._lock:
            self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path)
        try:
            key_table.prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._opened = file_identity(self._path)
        return connection

    def _refresh(self) -> None:
        """Look whether another process changed the keys. While another thread is at it, that thread's work will do."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            with _readable(self._path):
                if file_identity(self._path) != self._opened:
                    self._connection.close()
                    self._connection = self._connect()
                    self._version = -1
                version = self._data_version()
                if version != self._version:
                    self._load()
                    self._version = version
        finally:
            self._lock.release()
        now_s = self._clock.monotonic_s()
        self._recheck_at_s = now_s + RECHECK_S
        if self._used and now_s >= self._write_use_at_s:
            self._write_use_at_s = now_s + USE_WRITTEN_EVERY_S
            threading.Thread(target=self.write_use, name="garrison-keys", daemon=True).start()

    def _data_version(self) -> int:
        """Another number when another connection has changed something."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _load(self) -> None:
        with _readable(self._path):
            records = key_table.load(self._connection)
        self._live = {
            record.prefix: (
                Principal(record.principal, "key", record.name, record.roles, record.groups, record.scopes),
                digest,
                _NEVER if record.expires_ns is None else record.expires_ns,
            )
            for record, digest in records
            if record.revoked_ns is None
        }
        self.edition = object()
        self._on_changed()

    @contextmanager
    def _changing(self) -> Iterator[_Records]:
        """All records, under the database's write lock; what is changed counts at once when the block ends."""
        with self._lock:
            with _readable(self._path), writing(self._connection):
                yield key_table.load(self._connection)
            self._load()

    def _add(self, like: KeyRecord, key: str = "") -> tuple[KeyRecord, str]:
        """A key for what `like` says, but for prefix and time."""
        key = key or mint()
        record = msgspec.structs.replace(like, prefix=key[4:12], created_ns=self._clock.wall_ns())
        key_table.insert(self._connection, record, digest_of(key))
        return record, key

    def _new_admin(self) -> KeyRecord:
        return KeyRecord(prefix="", principal=self._new_principal(ADMIN), name=ADMIN, roles=(ADMIN_ROLE,), created_ns=0)

    def _new_principal(self, name: str) -> str:
        """An id that people can read in the ledger and that nobody had before."""
        return f"{name}-{self._ids.new()[:12]}"

    def _replace(self, records: _Records, name: str, overlap_s: float) -> tuple[KeyRecord, str]:
        now_ns = self._clock.wall_ns()
        old = _found(records, name, now_ns)
        end_ns = now_ns + int(overlap_s * 1e9)
        ending = [one.prefix for one in old if one.expires_ns is None or one.expires_ns > end_ns]
        key_table.expire_at(self._connection, ending, end_ns)
        return self._add(msgspec.structs.replace(old[-1], revoked_ns=None, used_ns=None))

    def _make_admin(self, home: Home, records: _Records) -> KeyRecord:
        """A key whose file is gone is in nobody's hands that we know of: it ends."""
        if _live_named(records, ADMIN, self._clock.wall_ns()):
            record, key = self._replace(records, ADMIN, 0.0)
        else:
            record, key = self._add(self._new_admin())
        write_private(home.admin_key, key.encode())
        return record

    def _restore_admin(self, home: Home, records: _Records) -> KeyRecord:
        key = home.admin_key.read_text(errors="replace").strip()
        if prefix_of(key) is None:
            raise Invalid("key.admin_file", f"{home.admin_key} holds no API key.", _ADMIN_HINT)
        for record, digest in records:
            if compare_digest(digest, digest_of(key)):
                if not record.is_live(self._clock.wall_ns()):
                    _log.warning("the administrator's key in the home is revoked or expired")
                return record
        return self._add(self._new_admin(), key)[0]

    def _use_not_written(self, used: dict[str, int], error: Exception) -> None:
        self._used = {**used, **self._used}
        _log.warning("the last use of keys could not be written down", extra={"reason": str(error)})


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        hint = "Check the folder's permissions and free space; if the file is damaged, restore it from a backup."
        raise Unavailable("keys.unavailable", f"The API keys in {path} cannot be used: {error}.", hint) from error


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(
            "key.name", f"{name[:128]!r} is no name for a key.", "1 to 128 letters, digits, blanks or . _ @ -"
        )
    if name == ADMIN:
        raise Invalid("key.admin", "The name admin belongs to the administrator's key.", "Choose another name.")


def _live_named(records: _Records, name: str, now_ns: int) -> tuple[KeyRecord, ...]:
    return tuple(record for record, _ in records if record.name == name and record.is_live(now_ns))


def _found(records: _Records, key: str, now_ns: int) -> tuple[KeyRecord, ...]:
    """The live records with this name or prefix; a name goes first."""
    found = _live_named(records, key, now_ns)
    found = found or tuple(record for record, _ in records if record.prefix == key and record.is_live(now_ns))
    if not found:
        raise NotFound("key.unknown", f"There is no live key {key[:128]!r}.", "`garrison keys list` shows all keys.")
    return found
