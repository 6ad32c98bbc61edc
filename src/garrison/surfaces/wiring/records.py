"""Changes on the record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import GarrisonError
from garrison.protection.entries import Entry
from garrison.protection.ledger import Ledger

ADMIN = "garrison"
"""The principal of changes that the fleet makes by itself."""

log = logging.getLogger("garrison")


def record_change(ledger: Ledger, principal: str, change: str, server: str, detail: Mapping[str, Any]) -> None:
    """A change on the record; what cannot be recorded is at least logged, for it has happened already."""
    entry = Entry(SystemClock().wall_ns(), "change", principal=principal, action=change, server=server, detail=detail)
    try:
        ledger.append(entry)
    except GarrisonError as error:
        log.error("a change could not be recorded", extra={"change": change, "server": server, "why": error.message})
