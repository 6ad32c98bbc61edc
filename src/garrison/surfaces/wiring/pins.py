"""Where a fleet's pins are, and who keeps them."""

from __future__ import annotations

from pathlib import Path

from garrison.catalog.pin_book import book_of
from garrison.gateway.upstreams.pinning import Pinning, PinPolicy
from garrison.kernel.clock import Clock
from garrison.kernel.home import Home
from garrison.protection.ledger import Ledger
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring.records import ADMIN, record_change


def pinned(home: Home, settings: Settings, ledger: Ledger, lock: Path | None, clock: Clock, *, keeps: bool) -> Pinning:
    """Raises `Invalid` for a lock that cannot be read. `keeps`: only the primary writes."""
    book = book_of(home, lock)
    if settings.pins.mode != "off":
        book.read()
    policy = PinPolicy(settings.pins.mode, settings.pins.first_use, settings.pins.check_s)
    return Pinning(
        book,
        policy,
        lambda change, server, detail: record_change(ledger, ADMIN, change, server, detail),
        keeps=keeps,
        clock=clock,
    )
