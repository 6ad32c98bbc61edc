"""Waiting for a fleet to settle, and telling meanwhile which server is how far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from garrison.kernel.errors import TimedOut, Unavailable
from garrison.kernel.home import Home
from garrison.surfaces.cli.node_client import NodeClient
from garrison.surfaces.presence import running_guardian, running_node
from garrison.telemetry.printable import one_line

T = TypeVar("T")

POLL_S = 0.1
REMIND_S = 5.0
PATIENCE_S = 20.0
"""How long the node may be unreachable meanwhile: a guardian brings a dead one back."""

SETTLE_S_MAX = 1800.0
"""A bound, not an expectation: each start has a deadline of its own, and only a few run at a time."""

UNKNOWN: Mapping[str, Any] = {"settled": False, "servers": []}


class Teller:
    """Tells what is new in a status, and now and then what is being waited for."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: dict[str, str] = {}
        self._began = self._reminded = time.monotonic()

    def news(self, status: Mapping[str, Any]) -> None:
        for row in status["servers"]:
            line = _line(row)
            if self._told.get(row["name"]) != line:
                self._told[row["name"]] = line
                self._tell(line)
        self._remind([row["name"] for row in status["servers"] if row["state"] == "starting"])

    def _remind(self, slow: list[str]) -> None:
        now = time.monotonic()
        if slow and now - self._reminded > REMIND_S:
            self._reminded = now
            waited_s = now - self._began
            self._tell(f"  … {waited_s:.0f} s, still starting: {', '.join(slow)} (a first npx or uvx downloads)")


def wait_until_settled(home: Home, client: NodeClient, tell: Callable[[str], None]) -> dict[str, Any]:
    """The status once every server runs, failed, or is not wanted. Tells nothing when that is so already."""
    teller = Teller(tell)
    status = client.status()
    if status["settled"]:
        return status
    deadline, reached = time.monotonic() + SETTLE_S_MAX, time.monotonic()
    while not status["settled"]:
        if time.monotonic() > deadline:
            message = f"not every server has settled after {SETTLE_S_MAX:g} s"
            raise TimedOut("fleet.not_settled", message, "see `garrison status`")
        time.sleep(POLL_S)
        try:
            status, reached = client.status(), time.monotonic()
        except (Unavailable, TimedOut):
            if time.monotonic() - reached > PATIENCE_S or _is_gone(home):
                raise
        teller.news(status)
    return status


def telling(client: NodeClient, work: Callable[[], T], tell: Callable[[str], None]) -> T:
    """Do what the node takes its time for, and tell meanwhile what changes."""
    teller = Teller(tell)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not future.done():
            time.sleep(POLL_S)
            teller.news(_status(client))
        return future.result()


def _status(client: NodeClient) -> Mapping[str, Any]:
    try:
        return client.status()
    except (Unavailable, TimedOut):
        return UNKNOWN


def _is_gone(home: Home) -> bool:
    """Somebody ended it: nothing will bring it back."""
    return running_node(home) is None and running_guardian(home) is None


def _line(row: Mapping[str, Any]) -> str:
    if row["state"] == "running":
        tools = "" if row["tools"] is None else f", {row['tools']} tools"
        return f"  {row['name']}: running ({row['startup_s']:.1f} s, {row['era']}{tools})"
    error = "" if row["state"] == "starting" else row["error"]  # that of the attempt before
    return one_line(f"  {row['name']}: {row['state']}" + (f": {error}" if error else ""))
