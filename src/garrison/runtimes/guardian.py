"""The guardian: a small process that watches the node, sweeps up behind it, and starts it again.

The *node* is the process with gateway and supervisor. The guardian is its parent, or, after the node replaced a
guardian that had died, its child: so it watches through a pidfd, which needs no kinship. Started as
`python -P -m garrison.runtimes.guardian JSON`. Standard library only, and little of it: it lives as long as the
fleet and must still run when the machine is short of everything.
"""

# pathlib and subprocess would double its start-up time and add megabytes.
# ruff: noqa: PTH103, PTH105, PTH108, PTH110, PTH118, PTH120, PTH123, PTH202
from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

from garrison.runtimes import kernelcalls, restartlimit, strays

PID_VARIABLE = "GARRISON_GUARDIAN_PID"
"""Tells the node which process to watch in return."""

LEAVING = "leaving"
"""The node writes its pid here before it ends on purpose: the sign for a guardian that cannot see exit codes."""

PID_FILE = "guardian.pid"

EXIT_CONFIG = 78
"""The node's exit code for `do not start me again, it would end the same way` (EX_CONFIG, sysexits.h)."""

STOP_S_MAX = 60.0
"""After a signal to end was passed on: how long the node may take before it is killed."""

RESET = (signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that we ignore and the node should not."""

OUTPUT_BYTES_MAX = 5 * 1024 * 1024


class Guardian:
    """`order`: `run` (folder), `fleet`, `mode` (`restart` or `sweep`), `fds`, `node` (argv), `watch` (pid or 0)."""

    def __init__(self, order: dict[str, object]) -> None:
        self._run = str(order["run"])
        self._fleet = str(order["fleet"])
        self._restarts = order["mode"] == "restart"
        self._argv = [str(part) for part in _list(order["node"])]
        self._fds = [int(str(fd)) for fd in _list(order["fds"])]
        self._watched = int(str(order["watch"]))
        self._limit = restartlimit.RestartLimit()
        self._asked_to_end = 0.0
        self._wakeup, writer = os.pipe()
        for descriptor in (self._wakeup, writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def guard(self) -> int:
        """Watch node after node; return our own exit code."""
        self._prepare()
        node, pidfd = self._first_node()
        while True:
            code = self._until_dead(node, pidfd) if pidfd is not None else None
            swept = strays.sweep(self._fleet)
            if self._ended_well(node, code):
                self._note(f"node {node} ended ({_ending(code)}); {swept} processes were left to end")
                return code if code == EXIT_CONFIG else 0
            self._note(f"node {node} died ({_ending(code)}); ended {swept} processes of the fleet")
            if not self._restarts:
                return 1
            delay = self._limit.next_delay_s(time.monotonic())
            if delay is None:
                self._note(f"giving up: the node died {self._limit.deaths_max} times within {self._limit.window_s:g} s")
                return 1
            if not self._pause(delay):
                return 0
            node, pidfd = self._start_node()

    # ── the node ────────────────────────────────────────────────────────────────────────────────────────────────

    def _first_node(self) -> tuple[int, int | None]:
        if not self._watched:
            strays.sweep(self._fleet)
            return self._start_node()
        try:
            pidfd = os.pidfd_open(self._watched)
        except ProcessLookupError:
            return self._watched, None
        # It is our parent: as long as it still is, the descriptor is the right one.
        if os.getppid() == self._watched:
            return self._watched, pidfd
        os.close(pidfd)
        return self._watched, None

    def _start_node(self) -> tuple[int, int]:
        self._forget_leaving()
        output = self._open_output()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ]
        environment = {**os.environ, PID_VARIABLE: str(os.getpid())}
        for fd in self._fds:
            os.set_inheritable(fd, True)
        node = os.posix_spawnp(
            self._argv[0], self._argv, environment, file_actions=actions, setpgroup=0, setsigdef=RESET
        )
        os.close(output)
        self._note(f"started node {node}")
        return node, os.pidfd_open(node)

    def _until_dead(self, node: int, pidfd: int) -> int | None:
        """Wait for the node's end, passing signals on; return its exit code when it was our child."""
        code = None
        waiting = select.poll()
        waiting.register(pidfd, select.POLLIN)
        waiting.register(self._wakeup, select.POLLIN)
        dead = False
        while not dead:
            ready = dict(waiting.poll(self._patience_ms()))
            for number in self._signals():
                self._pass_on(pidfd, number)
            if self._asked_to_end and time.monotonic() - self._asked_to_end > STOP_S_MAX:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            dead = pidfd in ready
            code = self._bury(node, code, wait=dead)
        os.close(pidfd)
        return code

    def _bury(self, node: int, code: int | None, *, wait: bool) -> int | None:
        """Reap whoever is dead: the node, and orphans that came to us."""
        try:
            if wait and code is None and _is_child(node):
                code = os.waitstatus_to_exitcode(os.waitpid(node, 0)[1])
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == node:
                    code = os.waitstatus_to_exitcode(found[1])
        except ChildProcessError:
            pass  # none left
        return code

    def _ended_well(self, node: int, code: int | None) -> bool:
        return code in (0, EXIT_CONFIG) or self._asked_to_end > 0 or self._said_that_it_leaves(node)

    def _said_that_it_leaves(self, node: int) -> bool:
        try:
            with open(os.path.join(self._run, LEAVING), encoding="ascii") as file:
                return file.read().strip() == str(node)
        except OSError:
            return False

    def _forget_leaving(self) -> None:
        try:
            os.unlink(os.path.join(self._run, LEAVING))
        except FileNotFoundError:
            return

    # ── signals and waiting ─────────────────────────────────────────────────────────────────────────────────────

    def _signals(self) -> bytes:
        try:
            return os.read(self._wakeup, 512)
        except BlockingIOError:
            return b""

    def _pass_on(self, pidfd: int, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._asked_to_end = self._asked_to_end or time.monotonic()
            try:
                signal.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                return  # it is dead; the poll will say so

    def _patience_ms(self) -> float | None:
        return 1000.0 if self._asked_to_end else None

    def _pause(self, delay_s: float) -> bool:
        """Sleep before a restart; False when we were asked to end meanwhile."""
        deadline = time.monotonic() + delay_s
        while (left := deadline - time.monotonic()) > 0:
            select.select([self._wakeup], [], [], left)
            if any(number in (signal.SIGTERM, signal.SIGINT) for number in self._signals()):
                self._note("asked to end while no node was running")
                return False
        return True

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> None:
        kernelcalls.name_this_process("garrison-guard")
        kernelcalls.become_subreaper()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # the wake-up pipe carries it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.makedirs(self._logs(), mode=0o700, exist_ok=True)
        path = os.path.join(self._run, PID_FILE)
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        os.replace(f"{path}.new", path)
        self._note(
            f"guardian {os.getpid()} of fleet {self._fleet}" + f" watches node {self._watched}" * bool(self._watched)
        )

    def _logs(self) -> str:
        return os.path.join(os.path.dirname(self._run), "logs")

    def _note(self, text: str) -> None:
        """A line in our own log, in the form of the others. A full disk must not end the guardian."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
        line = {"time": stamp, "level": "info", "logger": "garrison.guardian", "message": text}
        try:
            with open(os.path.join(self._logs(), "guardian.log"), "a", encoding="utf-8", opener=_private) as file:
                file.write(json.dumps(line, separators=(",", ":")) + "\n")
        except OSError:
            return

    def _open_output(self) -> int:
        """Where a node's stdout and stderr go (last words, tracebacks); begun anew when it has grown too large."""
        path = os.path.join(self._logs(), "node.out")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            if os.path.exists(path) and os.path.getsize(path) > OUTPUT_BYTES_MAX:
                flags |= os.O_TRUNC
            return os.open(path, flags, 0o600)
        except OSError:
            return os.open(os.devnull, os.O_WRONLY)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _is_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _ending(code: int | None) -> str:
    if code is None:
        return "exit code unknown"
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


if __name__ == "__main__":
    sys.exit(Guardian(json.loads(sys.argv[1])).guard())
