"""What is made of the ledger while a fleet runs: bodies kept, entries forwarded, the index grown, the old pruned."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import msgspec

from garrison.identity.envelope import envelope_of
from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.home import Home, write_private
from garrison.protection.bodies import SIDES, BodyKeeper, BodyStore
from garrison.protection.export.formats import message_renderer, this_host
from garrison.protection.export.forwarding import Destination, Forwarder
from garrison.protection.export.receiver import address_of
from garrison.protection.place import Place
from garrison.protection.pruning import holds, prune
from garrison.protection.reading import open_reading
from garrison.protection.retention import horizon
from garrison.protection.search_index import SearchIndex
from garrison.protection.subject_keys import SubjectKeys
from garrison.surfaces import policies
from garrison.surfaces.setting_groups.audit import AuditSettings
from garrison.surfaces.settings import Settings
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics

FIRST_S = 10.0
EVERY_S = 600.0
BY = "garrison"

_log = logging.getLogger("garrison")


class Progress(msgspec.Struct, frozen=True):
    """How far retention has come: where the next pruning begins, as long as the same holds stand."""

    begin: int = 1
    holds: tuple[str, ...] = ()


def body_store(home: Home) -> BodyStore:
    """The bodies of a home, with the keys of their subjects. Raises `Unavailable`."""
    return BodyStore(home.bodies, SubjectKeys(home.body_keys, envelope_of(home)))


def kept_bodies(home: Home, settings: AuditSettings) -> BodyKeeper | None:
    """None where no bodies are wanted; that costs a call nothing."""
    if settings.bodies == "off":
        return None
    keeper = BodyKeeper(
        lambda: body_store(home), SIDES[settings.bodies], settings.bodies_servers, settings.body_bytes_max
    )
    keeper.begin()
    return keeper


def forwarder(home: Home, place: Place, settings: Settings) -> Forwarder | None:
    """None where nothing is forwarded. Raises `Invalid` for a wrong URL."""
    audit = settings.audit
    if not audit.forward:
        return None
    rules = policies.outbound(settings).rules
    address = address_of(audit.forward, audit.forward_ca, audit.forward_certificate, audit.forward_key, rules)
    to = Destination(address, message_renderer(audit.forward_format), this_host())
    return Forwarder(place, home.forwarded, to)


class Upkeep(threading.Thread):
    """Now and then: lets the search index grow and takes away what has expired. Nobody waits for it."""

    def __init__(self, home: Home, place: Place, retention_days: int, clock: Clock | None = None) -> None:
        super().__init__(name="garrison-upkeep", daemon=True)
        self._home = home
        self._place = place
        self._retention_days = retention_days
        self._clock = clock or SystemClock()
        self._stopping = threading.Event()

    def run(self) -> None:
        self._stopping.wait(FIRST_S)
        while not self._stopping.is_set():
            try:
                self.once()
            except Exception as error:  # noqa: BLE001 (boundary: upkeep must not end what it serves)
                _log.error("the ledger's upkeep failed; it is tried again", extra={"why": str(error)})
            self._stopping.wait(EVERY_S)

    def stop(self) -> None:
        self._stopping.set()

    def once(self) -> int:
        """Returns how many entries were pruned."""
        with open_reading(self._place) as store:
            SearchIndex(self._place).grown(store)
        return self._prune() if self._retention_days else 0

    def _prune(self) -> int:
        path = self._home.root / "retention.json"
        standing = holds(self._place)
        names, before = tuple(hold.id for hold in standing), _progress(path)
        first = before.begin if before.holds == names else 1
        horizon_ns = horizon(self._clock.wall_ns(), self._retention_days)
        count, begin = prune(self._place, horizon_ns, BY, f"older than {self._retention_days} days", first)
        if self._home.bodies.exists():
            body_store(self._home).prune_and_close(horizon_ns, standing)
        write_private(path, msgspec.json.encode(Progress(begin, names)))
        return count


class Auditing:
    """Forwarder and upkeep of one node; `start` and `stop`."""

    def __init__(self, home: Home, place: Place, settings: Settings, metrics: Metrics) -> None:
        self.forwarder = following = forwarder(home, place, settings)
        if following is not None:
            about = "Entries of the ledger that its receiver does not have yet."
            metrics.gauge(names.AUDIT_FORWARD_BEHIND, about).cell().read_from(lambda: following.behind)
        self._upkeep = Upkeep(home, place, settings.ledger.retention_days)

    def start(self) -> None:
        self._upkeep.start()
        if self.forwarder is not None:
            self.forwarder.start()

    def stop(self) -> None:
        self._upkeep.stop()
        if self.forwarder is not None:
            self.forwarder.stop()

    def status(self) -> dict[str, object]:
        """For `status`: how far forwarding has come, and why it does not go on."""
        if self.forwarder is None:
            return {}
        return {"to": str(self.forwarder.address), "forwarded": self.forwarder.seq, "problem": self.forwarder.problem}


def _progress(path: Path) -> Progress:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except (OSError, msgspec.MsgspecError):
        return Progress()
