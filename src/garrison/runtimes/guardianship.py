"""Starting a guardian, and the node's half of the bargain: it watches the guardian, and replaces it when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from garrison.runtimes.guardian import LEAVING, PID_FILE, PID_VARIABLE

Mode = Literal["restart", "sweep"]
"""After the node died: start it again (background), or only end what it left (foreground)."""

REPLACE_PAUSE_S = 1.0
"""Between two replacements, should guardians die as fast as they are started."""

_log = logging.getLogger("garrison.runtimes")


@dataclass(frozen=True)
class Charge:
    """What a guardian needs to know."""

    node_argv: tuple[str, ...]
    home_run: Path
    """Holds `guardian.pid`; the logs are in its sibling `logs`."""
    fleet_id: str
    mode: Mode
    fds: tuple[int, ...] = ()
    """Descriptors (listening sockets) handed to every node under the same numbers; held open meanwhile."""
    watch_pid: int = 0
    """A node that runs already and is the caller; 0: the guardian starts one."""


def spawn_guardian(
    node_argv: Sequence[str],
    *,
    home_run: Path,
    fleet_id: str,
    mode: Mode,
    fds: Sequence[int],
    env: Mapping[str, str],
) -> int:
    """Start a guardian in a session of its own, which starts the node; return the guardian's pid.

    It outlives the caller. Ends with exit code 0 after a clean end of the node, 1 when it gave up.
    """
    return spawn(Charge(tuple(node_argv), home_run, fleet_id, mode, tuple(fds)), env)


def spawn(charge: Charge, env: Mapping[str, str]) -> int:
    logs = charge.home_run.parent / "logs"
    for folder in (charge.home_run, logs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    order = {
        "run": str(charge.home_run.absolute()),
        "fleet": charge.fleet_id,
        "mode": charge.mode,
        "fds": list(charge.fds),
        "watch": charge.watch_pid,
        "node": list(charge.node_argv),
    }
    # -P: a folder named garrison in the current folder must not be taken for us.
    argv = [sys.executable, "-P", "-m", "garrison.runtimes.guardian", json.dumps(order)]
    with os.fdopen(os.open(logs / "guardian.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(env),
            pass_fds=charge.fds,
            start_new_session=True,
        )
    process.returncode = 0  # it outlives us, so nobody waits for it through this object
    return process.pid


def guardian_pid(home_run: Path) -> int | None:
    """The pid of the guardian that lives and wrote it down, None when there is none."""
    try:
        pid = int((home_run / PID_FILE).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    ours = json.dumps(str(home_run.absolute())).encode()
    return pid if b"garrison.runtimes.guardian" in command and ours in command else None


class GuardianWatch:
    """Used inside the node, on its event loop.

    `start` takes the guardian that started us (`GARRISON_GUARDIAN_PID`), or makes one when there is none, as in the
    foreground. Should it die, a new one is made that watches us. `leave` is called before a clean end.
    """

    def __init__(
        self, charge: Charge, env: Mapping[str, str], on_replaced: Callable[[int], None] | None = None
    ) -> None:
        self.pid = 0
        self._charge = replace(charge, watch_pid=os.getpid())
        self._env = {name: value for name, value in env.items() if name != PID_VARIABLE}
        self._parent = int(env.get(PID_VARIABLE) or 0)
        self._on_replaced = on_replaced
        self._pidfd = -1
        self._ours = False
        self._leaving = False
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._parent and self._watch(self._parent):
            return
        self._replace()

    def leave(self) -> None:
        """Say that we end on purpose, so that the guardian ends too. Nothing is replaced from now on."""
        self._leaving = True
        (self._charge.home_run / LEAVING).write_text(f"{os.getpid()}\n")
        if self._pause is not None:
            self._pause.cancel()
        self._forget()

    def _watch(self, pid: int) -> bool:
        """Watch a guardian that is our parent or our child; False when it is dead already."""
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        self.pid = pid
        if not self._ours and os.getppid() != pid:
            self._forget()  # it died, and the pid may be somebody else's by now
            return False
        asyncio.get_running_loop().add_reader(self._pidfd, self._died)
        return True

    def _forget(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _died(self) -> None:
        self._forget()
        if self._ours:
            with contextlib.suppress(ChildProcessError):  # the reaper may have been quicker
                os.waitpid(self.pid, 0)
        _log.warning("guardian %d died; starting another", self.pid)
        self._pause = asyncio.get_running_loop().call_later(REPLACE_PAUSE_S if self._ours else 0.0, self._replace)

    def _replace(self) -> None:
        if self._leaving:
            return
        try:
            pid = spawn(self._charge, self._env)
        except OSError as error:
            _log.error("no guardian could be started: %s", error)
            self._pause = asyncio.get_running_loop().call_later(REPLACE_PAUSE_S, self._replace)
            return
        self._ours = True
        self._watch(pid)
        if self._on_replaced is not None:
            self._on_replaced(pid)
