"""Changes made at the command line, on the record with the machine's user as the one who did it."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any

from garrison.kernel.clock import SystemClock
from garrison.kernel.home import Home
from garrison.protection.entries import Entry
from garrison.protection.ledger import record_once
from garrison.protection.reasons import with_reason
from garrison.surfaces.cli.fleet_settings import place_of_fleet


def record_change(home: Home, change: str, target: str, detail: Mapping[str, Any] | None = None) -> None:
    """Durable when it returns. Raises `Unavailable` when the ledger cannot be written."""
    who = f"local:{getpass.getuser()}"
    detail = with_reason(detail)
    entry = Entry(SystemClock().wall_ns(), "change", principal=who, action=change, target=target, detail=detail)
    record_once(place_of_fleet(home), entry)
