"""The ledger: who did what, when, with what outcome; append-only and tamper-evident.

What an accepted entry survives:

| | the process is killed | the machine loses power |
|---|---|---|
| `append` returned | yes (spool) | after at most the window |
| the future of `append_durable` is done | yes | yes |

See docs/adr/0002-the-ledger-owns-durability.md for the measured costs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.errors import TimedOut, Unavailable
from garrison.protection import reader
from garrison.protection.checking import Verdict
from garrison.protection.entries import Entry, Recorded, encode
from garrison.protection.inbox import Batch, Waiter
from garrison.protection.log import Log
from garrison.protection.place import Place, place_of
from garrison.protection.reader import Filter
from garrison.protection.spool import Spool, take_spools
from garrison.protection.writer import CheckpointRhythm, Writer, unwritable
from garrison.telemetry.redaction import redactor

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerSettings:
    """durability: whether a call waits until its entries are on disk (`strict`) or not (`batched`).

    window_s: how long `batched` collects entries before it commits them: what a power cut may cost.
    queue_max: entries that may wait; more are refused. spool_bytes: room for accepted entries; 0 for no spool.
    checkpoints: how often one is signed. url: of the database in PostgreSQL, never shown; empty: the path's SQLite.
    """

    durability: Literal["strict", "batched"] = "batched"
    window_s: float = 0.05
    queue_max: int = 20_000
    spool_bytes: int = 4 * 1024 * 1024
    checkpoints: CheckpointRhythm = field(default_factory=CheckpointRhythm)
    url: str = field(default="", repr=False)


class Ledger:
    """One process's access to the ledger. Entries may be appended from any thread."""

    def __init__(self, path: Path, settings: LedgerSettings | None = None, clock: Clock | None = None) -> None:
        """Open or create. Takes over what a killed process left behind. Unavailable if the ledger cannot be written."""
        self.settings = settings or LedgerSettings()
        self._path = path
        self._place = Place(path, self.settings.url)
        self._clock = clock or SystemClock()
        self._inbox = Batch()
        self._lock = threading.Lock()
        try:
            log, self._spool = self._open()
        except (sqlite3.Error, OSError) as error:
            raise unwritable(f"{self._place}: {error}") from error
        window_s = self.settings.window_s if self.settings.durability == "batched" else 0.0
        self._writer = Writer(log, self._reopen, self._take, self._spool, window_s, self.settings.checkpoints)
        self._writer.start()

    def append(self, entry: Entry) -> None:
        """Accept an entry without waiting. Unavailable (`ledger.unwritable`) if it cannot be kept: refuse the call."""
        self.append_line(encode(entry, redactor))

    def append_line(self, body: bytes) -> None:
        """The same for an entry that is encoded already (`entries.Lines`)."""
        with self._lock:
            inbox = self._inbox
            if not self._writer.accepting or len(inbox.bodies) >= self.settings.queue_max:
                raise self._refusal()
            if self._spool is not None:
                end = self._spool.put(body)
                if not end:
                    raise self._refusal()
                inbox.spool_end = end
            if not inbox.bodies:
                self._writer.work.set()
            inbox.bodies.append(body)

    def append_durable(self, entry: Entry) -> asyncio.Future[int]:
        """A future of the entry's number, done when the entry is on disk. Unavailable at once, or from the future."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._await(encode(entry, redactor), future)
        return future

    def record(self, entry: Entry, timeout_s: float = 30.0) -> int:
        """Append and block until the entry is on disk; returns its number. Not for an event loop's thread."""
        future: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._await(encode(entry, redactor), future)
        return _wait(future, timeout_s)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Block until everything accepted so far is on disk."""
        future: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._await(b"", future)
        _wait(future, timeout_s)

    def tail(self, limit: int = 20, wanted: Filter | None = None) -> list[Recorded]:
        return reader.tail(self._place, limit, wanted)

    def show(self, key: int | str) -> list[Recorded]:
        return reader.show(self._place, key)

    def verify(self) -> Verdict:
        return reader.verify(self._place)

    @property
    def waiting(self) -> int:
        """Entries accepted and not yet taken by the writer."""
        return len(self._inbox.bodies)

    @property
    def committed(self) -> int:
        """Entries that this process has put on disk."""
        return self._writer.committed

    @property
    def problem(self) -> str:
        """Why the ledger cannot be written at the moment; empty when it can. Readiness depends on it."""
        return self._writer.problem

    def close(self, timeout_s: float = 10.0) -> int:
        """Write what was accepted and end. Returns how many entries could not be written (the spool keeps them)."""
        with self._lock:
            if not self._writer.is_alive():
                return self._writer.left
            self._writer.stop()
        self._writer.join(timeout_s)
        if self._writer.is_alive():
            _log.error(
                "the ledger's writer does not end; the spool keeps what is left", extra={"entries": self.waiting}
            )
            return self.waiting
        if self._spool is not None:
            self._spool.close()
        return self._writer.left

    def _await(self, body: bytes, waiter: Waiter) -> None:
        with self._lock:
            if not self._writer.accepting or len(self._inbox.bodies) >= self.settings.queue_max:
                raise self._refusal()
            self._inbox.wait(body, waiter)
        self._writer.hurry()

    def _take(self) -> Batch:
        """For the writer: everything accepted so far."""
        with self._lock:
            taken, self._inbox = self._inbox, Batch()
        return taken

    def _refusal(self) -> Unavailable:
        if self._writer.problem:
            return unwritable(self._writer.problem)
        return unwritable("too many entries are waiting" if self._writer.accepting else "it is closed")

    def _open(self) -> tuple[Log, Spool | None]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = Log(self._place, self._clock)
        try:
            return log, self._recover(log)
        except BaseException:
            log.close()
            raise

    def _recover(self, log: Log) -> Spool | None:
        """Put into the database what killed processes had accepted. Returns the spool for our own use."""
        if not self.settings.spool_bytes:
            return None
        own, *others = take_spools(self._place.beside, self.settings.spool_bytes)
        for spool in (own, *others):
            bodies = spool.recover(log.mark(spool.name))
            if bodies:
                log.note(log.append(bodies, [(spool.name, spool.end)]))
                _log.warning("entries of a killed process were recovered", extra={"entries": len(bodies)})
            spool.release(spool.end)
        for spool in others:
            spool.remove()
        return own

    def _reopen(self) -> Log:
        return Log(self._place, self._clock, create=False)


def _wait(future: concurrent.futures.Future[int], timeout_s: float) -> int:
    try:
        return future.result(timeout_s)
    except concurrent.futures.TimeoutError as error:
        message = f"The ledger did not answer within {timeout_s} s."
        raise TimedOut(
            "ledger.slow", message, "The entry may have been recorded; look with `garrison audit tail`."
        ) from error


def record_once(ledger: Path | Place, entry: Entry, clock: Clock | None = None) -> int:
    """Append one entry durably from a short command, beside whoever else is writing. Returns its number."""
    with writing_once(ledger, clock) as log:
        head = log.append([encode(entry, redactor)])
        log.note(head)
        return head.seq


@contextmanager
def writing_once(ledger: Path | Place, clock: Clock | None = None) -> Iterator[Log]:
    """The log, for a short command. Unavailable (`ledger.unwritable`) when it cannot be written."""
    place = place_of(ledger)
    place.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        log = Log(place, clock or SystemClock())
    except (sqlite3.Error, OSError) as error:
        raise unwritable(f"{place}: {error}") from error
    try:
        yield log
    except (sqlite3.Error, OSError) as error:
        raise unwritable(f"{place}: {error}") from error
    finally:
        log.close()
