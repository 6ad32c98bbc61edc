"""Waiting for a fleet to settle, and telling meanwhile which server is how far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from garrison.kernel.errors import TimedOut, Unavailable
from garrison.surfaces.cli.node_client import NodeClient

POLL_S = 0.1
REMIND_S = 5.0
PATIENCE_S = 20.0
"""How long the node may be unreachable meanwhile: a guardian brings a dead one back."""

SETTLE_S_MAX = 1800.0
"""A bound, not an expectation: each start has a deadline of its own, and only a few run at a time."""


def wait_until_settled(client: NodeClient, tell: Callable[[str], None]) -> dict[str, Any]:
    """The status once every server runs, failed, or is not wanted."""
    told: dict[str, str] = {}
    began = reached = reminded = time.monotonic()
    while True:
        now = time.monotonic()
        try:
            status, reached = client.status(), now
        except (Unavailable, TimedOut):
            if now - reached > PATIENCE_S:
                raise
            status = {"settled": False, "servers": []}
        _tell_news(status, told, tell)
        if status["settled"]:
            return status
        if now - began > SETTLE_S_MAX:
            message = f"not every server has settled after {SETTLE_S_MAX:g} s"
            raise TimedOut("fleet.not_settled", message, "see `garrison status`")
        if now - reminded > REMIND_S:
            reminded = now
            _remind(status, now - began, tell)
        time.sleep(POLL_S)


def _tell_news(status: Mapping[str, Any], told: dict[str, str], tell: Callable[[str], None]) -> None:
    for row in status["servers"]:
        line = _line(row)
        if told.get(row["name"]) != line:
            told[row["name"]] = line
            tell(line)


def _line(row: Mapping[str, Any]) -> str:
    if row["state"] == "running":
        tools = "" if row["tools"] is None else f", {row['tools']} tools"
        return f"  {row['name']}: running ({row['startup_s']:.1f} s, {row['era']}{tools})"
    error = "" if row["state"] == "starting" else row["error"]  # that of the attempt before
    return f"  {row['name']}: {row['state']}" + (f": {error}" if error else "")


def _remind(status: Mapping[str, Any], waited_s: float, tell: Callable[[str], None]) -> None:
    slow = [row["name"] for row in status["servers"] if row["state"] == "starting"]
    if slow:
        tell(f"  … {waited_s:.0f} s, still starting: {', '.join(slow)} (a first npx or uvx downloads)")
