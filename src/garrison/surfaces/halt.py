"""Ending a fleet: in order if it can be, in any case in the end; nothing of it is left."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from garrison.kernel.errors import Denied, GarrisonError
from garrison.kernel.home import Home
from garrison.runtimes import strays
from garrison.surfaces.desired import read_desired
from garrison.surfaces.launch import fleet_id
from garrison.surfaces.presence import running_guardian, running_node, wait_for_ends
from garrison.surfaces.setting_groups.edge import EdgeSettings

CLOSING_S = 10.0
"""After the drain: closing servers (they get seconds to leave by themselves), ledger and files."""

KILL_S = 5.0


@dataclass(frozen=True)
class Halt:
    """What there was to end. `in_order`: the node ended by itself; else it was killed."""

    was_running: bool
    in_order: bool = True
    swept: int = 0
    """Processes of servers that were left over and killed."""


def halt(home: Home, drain_s: float | None = None) -> Halt:
    """End node, guardian and servers. Harmless when nothing runs. `drain_s`: None takes the fleet's own setting."""
    pids = _processes(home)
    _ask(pids)
    left = wait_for_ends(pids, (_drain_s(home) if drain_s is None else drain_s) + CLOSING_S)
    for pid in left:
        _signal(pid, signal.SIGKILL)
    # A guardian may have made a new node, or a node a new guardian, between our looks.
    for pid in (late := _processes(home)):
        _signal(pid, signal.SIGKILL)
    wait_for_ends([*left, *late], KILL_S)
    swept = strays.sweep(fleet_id(home)) if home.root.exists() else 0
    (home.run / "node.json").unlink(missing_ok=True)
    return Halt(bool(pids) or swept > 0, not left and not late, swept)


def _processes(home: Home) -> list[int]:
    """The guardian first: it must not bring back a node that we end."""
    found = [running_guardian(home), node.pid if (node := running_node(home)) is not None else None]
    return [pid for pid in found if pid is not None]


def _ask(pids: list[int]) -> None:
    """The node ends its guardian; a guardian without a node ends by itself."""
    if pids:
        _signal(pids[-1], signal.SIGTERM)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended meanwhile, which is what we want
    except PermissionError as error:
        message = f"process {pid} of the fleet belongs to another user"
        raise Denied("fleet.not_yours", message, "end it as the user who started it") from error


def _drain_s(home: Home) -> float:
    try:
        return read_desired(home).settings.edge.drain_s
    except GarrisonError:
        return EdgeSettings().drain_s
