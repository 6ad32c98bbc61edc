"""Continuous forwarding: a thread that sends entries to a syslog receiver as they come into the ledger.

It reads the ledger as anybody else does, so calls never wait for it and nothing is queued in memory: while the receiver
is away, the ledger is the queue. How far it is stands in a file, written after the receiver's machine has acknowledged
what was sent; what is in doubt after a restart or a broken connection is sent again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from garrison.kernel.errors import GarrisonError
from garrison.kernel.home import write_private
from garrison.protection.entries import Recorded
from garrison.protection.export.event import Origin
from garrison.protection.export.receiver import Address, Receiver
from garrison.protection.export.syslog import Render
from garrison.protection.place import Place
from garrison.protection.search import entries, size_of

BATCH = 256
POLL_S = 0.5
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0

_log = logging.getLogger(__name__)


class Cursor(msgspec.Struct, frozen=True):
    """The file: up to which entry everything was delivered, and where to."""

    seq: int = 0
    to: str = ""


@dataclass(frozen=True)
class Destination:
    address: Address
    render: Render
    origin: Origin


class Forwarder(threading.Thread):
    """Begins with the first entry of all when there is no cursor. `stop` ends it within a poll."""

    def __init__(
        self,
        place: Place,
        cursor: Path,
        to: Destination,
        connect: Callable[[Address], Receiver] = Receiver,
    ) -> None:
        super().__init__(name="garrison-forwarder", daemon=True)
        self._place = place
        self._path = cursor
        self._to = to
        self._connect = connect
        self._stopping = threading.Event()
        self._receiver: Receiver | None = None
        self._failures = 0
        self.seq = read_cursor(cursor).seq
        """Everything up to this entry was delivered."""
        self.behind = 0
        """Entries that were there at the last look and are not delivered yet."""
        self.problem = ""
        """Why nothing can be delivered at the moment; empty while all is well."""

    @property
    def address(self) -> Address:
        return self._to.address

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join(timeout_s)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                while self._step() and not self._stopping.is_set():
                    self._failures = 0
            except Exception as error:  # noqa: BLE001 (boundary: whatever it is, say so and try again later)
                self._fail(error)
            self._stopping.wait(self._pause_s())
        self._say_goodbye()
        self._hang_up()

    def _say_goodbye(self) -> None:
        """What came just before the end, if the receiver is there; else it is sent after the next start."""
        try:
            while not self.problem and self._step():
                continue
        except Exception as error:  # noqa: BLE001 (boundary: the ledger keeps it)
            _log.warning("the last entries are forwarded later", extra={"why": str(error)})

    def _step(self) -> bool:
        """Deliver the next entries; False when there are none."""
        end = size_of(self._place)
        if end < self.seq:  # another ledger stands in its place
            self.seq = 0
        self.behind = end - self.seq
        batch = list(islice(entries(self._place, self.seq + 1, end), BATCH)) if end > self.seq else []
        if not batch and end <= self.seq:
            return False
        if batch:
            self._deliver(batch)
        self.seq = batch[-1].seq if len(batch) == BATCH else end
        self.behind = end - self.seq
        write_private(self._path, msgspec.json.encode(Cursor(self.seq, str(self._to.address))))
        self._recovered()
        return True

    def _deliver(self, batch: Sequence[Recorded]) -> None:
        if self._receiver is None:
            self._receiver = self._connect(self._to.address)
        self._receiver.send([self._to.render(one, self._to.origin) for one in batch])
        self._receiver.delivered()

    def _fail(self, error: Exception) -> None:
        self._hang_up()
        self._failures += 1
        if not self.problem:
            _log.error("the ledger cannot be forwarded; it is sent later", extra={"why": str(error), "after": self.seq})
        self.problem = error.message if isinstance(error, GarrisonError) else f"{type(error).__name__}: {error}"

    def _recovered(self) -> None:
        if self.problem:
            _log.warning("the ledger is forwarded again", extra={"to": str(self._to.address)})
        self.problem, self._failures = "", 0

    def _pause_s(self) -> float:
        if not self._failures:
            return POLL_S
        return float(min(RETRY_FIRST_S * 2 ** min(self._failures - 1, 10), RETRY_MAX_S))

    def _hang_up(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None


def read_cursor(path: Path) -> Cursor:
    """A missing or damaged one begins afresh: rather twice than never."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Cursor)
    except (OSError, msgspec.MsgspecError):
        return Cursor()
