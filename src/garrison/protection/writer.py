"""The ledger's writer: one thread that commits whatever is queued, together (group commit).

It never dies of a failing disk: calls are refused while it cannot write, what was accepted is kept, and it tries
again until it can.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from garrison.kernel.errors import Unavailable
from garrison.protection.inbox import Batch, Waiter
from garrison.protection.log import Log
from garrison.protection.pages import Head
from garrison.protection.spool import Spool

RETRY_S = 0.25

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointRhythm:
    """A checkpoint is signed after so many entries of this process, or so many seconds after the first of them."""

    entries: int = 10_000
    window_s: float = 300.0


class Writer(threading.Thread):
    """Commits what `take` gives, which empties the inbox; `work` is set when something came into an empty one."""

    def __init__(
        self,
        log: Log,
        reopen: Callable[[], Log],
        take: Callable[[], Batch],
        spool: Spool | None,
        window_s: float,
        rhythm: CheckpointRhythm = CheckpointRhythm(),
    ) -> None:
        super().__init__(name="garrison-ledger", daemon=True)
        self._log: Log | None = log
        self._reopen = reopen
        self._take_all = take
        self._spool = spool
        self._window_s = window_s
        self._rhythm = rhythm
        self._unsigned = log.unsigned
        self._sign_at_s = time.monotonic() + rhythm.window_s
        self._pending = Batch()
        self._hurry = threading.Event()
        self._closing = False
        self.work = threading.Event()
        self.accepting = True
        """False while entries must be refused; read on the hot path."""
        self.problem = ""
        """Why the last attempt to write failed; empty when it worked."""
        self.committed = 0
        self.failures = 0

    def hurry(self) -> None:
        """Somebody waits: do not sit out the window."""
        self._hurry.set()
        self.work.set()

    def stop(self) -> None:
        """Accept nothing more, write what is there, end."""
        self.accepting = False
        self._closing = True
        self.hurry()

    @property
    def left(self) -> int:
        """Entries that were accepted and are not in the database."""
        return len(self._pending.bodies)

    def run(self) -> None:
        while True:
            closing = self._closing
            self._take()
            self._write()
            self._vouch(closing)
            if closing:  # what came before the end was asked for has been taken
                break
        if self._log is not None:
            self._log.close()

    def _take(self) -> None:
        """Wait for something to do, and a little longer for company."""
        if self.problem:
            self._hurry.wait(RETRY_S)
        elif not self._closing:
            self.work.wait(self._until_due_s())
            if self._window_s and not self._closing:
                self._hurry.wait(self._window_s)
        self._hurry.clear()
        self.work.clear()
        self._pending.add(self._take_all())

    def _write(self) -> None:
        try:
            head = self._commit()
        except Exception as error:  # noqa: BLE001 (boundary: whatever it is, refuse calls, keep the entries, try again)
            self._fail(error)
        else:
            self._succeed(head)

    def _commit(self) -> Head | None:
        """Everything pending in one transaction. None when there was nothing to write."""
        if self._log is None:
            self._log = self._reopen()
        if self._pending.bodies:
            return self._log.append(self._pending.bodies, self._marks())
        if self.problem:
            self._log.probe()
        return None

    def _marks(self) -> list[tuple[str, int]]:
        end = self._pending.spool_end
        return [(self._spool.name, end)] if self._spool is not None and end else []

    def _succeed(self, head: Head | None) -> None:
        done, self._pending = self._pending, Batch()
        count = len(done.bodies)
        if self._spool is not None:
            self._spool.release(done.spool_end)
        first = head.seq - count if head else 0
        _settle_all((waiter, first + position) for position, _, waiter in done.waiters)
        self.committed += count
        if self.problem:
            _log.warning("the ledger can be written again", extra={"entries": count})
        self.problem = ""
        self.accepting = not self._closing
        if head is not None:
            self._note(head)
            self._unsigned += count
            self._sign_at_s = min(self._sign_at_s, time.monotonic() + self._rhythm.window_s)

    def _until_due_s(self) -> float | None:
        return max(0.0, self._sign_at_s - time.monotonic()) if self._unsigned else None

    def _vouch(self, closing: bool) -> None:
        """Sign a checkpoint when it is time. Entries do not wait for one: what cannot be signed is signed later."""
        due = closing or self._unsigned >= self._rhythm.entries or time.monotonic() >= self._sign_at_s
        if not due or not self._unsigned or self._log is None:
            return
        self._unsigned, self._sign_at_s = 0, float("inf")
        try:
            self._log.checkpoint()
        except Exception as error:  # noqa: BLE001 (boundary: the entries are safe; the next checkpoint covers them too)
            self._unsigned, self._sign_at_s = 1, time.monotonic() + self._rhythm.window_s
            _log.error("no checkpoint could be signed", extra={"reason": f"{type(error).__name__}: {error}"})

    def _note(self, head: Head) -> None:
        try:
            assert self._log is not None
            self._log.note(head)
        except OSError as error:  # the entries are safe; the probe that follows writes the head again
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Those who wait are told that it failed, and their entries are dropped; the others are kept."""
        if not self.problem:
            _log.error("the ledger cannot be written; calls are refused", extra={"reason": str(error)})
        self.accepting = False
        self.problem = f"{type(error).__name__}: {error}"
        self.failures += 1
        failed, self._pending = self._pending, self._pending.without_waiters()
        _settle_all((waiter, unwritable(self.problem)) for _, _, waiter in failed.waiters)
        if self._log is not None:
            self._log.close()
            self._log = None


def unwritable(reason: str) -> Unavailable:
    hint = "Free disk space or repair the ledger's folder; calls are accepted again as soon as it can be written."
    return Unavailable("ledger.unwritable", f"The ledger cannot be written ({reason}).", hint)


def _settle_all(results: Iterable[tuple[Waiter, int | Unavailable]]) -> None:
    """Wake those who wait; one wake-up per event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Waiter, int | Unavailable]]] = {}
    for waiter, result in results:
        if isinstance(waiter, concurrent.futures.Future):
            _settle(waiter, result)
        else:
            by_loop.setdefault(waiter.get_loop(), []).append((waiter, result))
    for loop, waiters in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_each, waiters)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _settle_each(waiters: list[tuple[Waiter, int | Unavailable]]) -> None:
    for waiter, result in waiters:
        _settle(waiter, result)


def _settle(waiter: Waiter, result: int | Unavailable) -> None:
    if waiter.done():
        return
    if isinstance(result, Unavailable):
        waiter.set_exception(result)
    else:
        waiter.set_result(result)
