"""The node: the process that serves. Gateway, supervisor and admin API on one event loop, one listening socket.

    python -P -m garrison.surfaces.node --home DIR

runs it under a guardian (background); `serve` runs it in the calling process (foreground).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop

from garrison import __version__
from garrison.kernel import descriptors
from garrison.kernel.clock import SystemClock, rfc3339
from garrison.kernel.errors import GarrisonError
from garrison.kernel.home import Home, write_private
from garrison.runtimes.guardian import EXIT_CONFIG
from garrison.runtimes.guardianship import Charge, GuardianWatch
from garrison.surfaces import wiring
from garrison.surfaces.api.app import make_app, row_not_found
from garrison.surfaces.desired import Desired, read_desired
from garrison.surfaces.edge.guard import Guard, hostname
from garrison.surfaces.edge.protocol import protocol_class
from garrison.surfaces.fleet_metrics import add_fleet_metrics
from garrison.surfaces.launch import fleet_id, node_argv
from garrison.surfaces.shown import conflict_rows, profile_rows
from garrison.surfaces.status import server_row
from garrison.telemetry.logs import configure_logs
from garrison.telemetry.process import age_s

KEEP_ALIVE_S = 75
DRAIN_POLL_S = 0.02
LAST_ANSWERS_S = 1
"""What was answered at the end of the drain may take so long to be written."""

log = logging.getLogger("garrison")


class Node:
    """One fleet, served. `guardian_mode`: `restart` under a guardian, `sweep` in the foreground."""

    def __init__(self, home: Home, desired: Desired, listener: socket.socket, guardian_mode: str) -> None:
        self.fleet = wiring.build(home, desired.settings, desired.snapshot(), fleet_id(home))
        add_fleet_metrics(self.fleet)
        self._home = home
        self._desired = desired
        self._listener = listener
        self.url = _url_of(listener)
        self._started_at = rfc3339(SystemClock().wall_ns())
        self._settled = False
        self._server = _Server(self._uvicorn_config(), self)
        charge = Charge(
            node_argv=tuple(node_argv(home)),
            home_run=home.run,
            fleet_id=fleet_id(home),
            mode="restart" if guardian_mode == "restart" else "sweep",
            fds=(listener.fileno(),) if guardian_mode == "restart" else (),
        )
        self._guardian = GuardianWatch(charge, os.environ, lambda pid: self._write_run_file())

    # ── life ──

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; everything is ended when this returns."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._on_signal)
        self.fleet.reaper.adopt()
        self._guardian.start()
        reaping = asyncio.ensure_future(self.fleet.reaper.run())
        applying = asyncio.ensure_future(self._start_servers())
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            applying.cancel()
            await self._shut_down()
            reaping.cancel()
            await asyncio.gather(applying, reaping, return_exceptions=True)

    def serving(self) -> None:
        """The listener is open: say where."""
        self._write_run_file()
        self._record("fleet.started", {"url": self.url, "snapshot": self._desired.snapshot().version})
        log.info("serving", extra={"url": self.url, "pid": os.getpid(), "start_s": round(age_s(), 2)})

    async def drain(self) -> None:
        """The end was asked for: not ready any more, and no new calls; those in flight may finish within the limit.

        The listener stays open meanwhile, so that whoever comes is told so.
        """
        gateway, clock = self.fleet.gateway, SystemClock()
        gateway.drain()
        deadline_s = clock.monotonic_s() + self._desired.settings.edge.drain_s
        while gateway.shed.in_flight and not self._server.force_exit and clock.monotonic_s() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_S)
        gateway.in_flight.cancel_all("the gateway is shutting down")

    async def _start_servers(self) -> None:
        await self.fleet.supervisor.apply(self._desired.snapshot())
        await self._until_settled()

    async def _until_settled(self) -> None:
        await self.fleet.supervisor.settled()
        await self.fleet.directory.settled()
        self._settled = True

    async def _shut_down(self) -> None:
        self._guardian.leave()
        self.fleet.gateway.in_flight.cancel_all("the gateway is shutting down")
        await wiring.stop(self.fleet)
        self._record("fleet.stopped", {})
        await asyncio.to_thread(self.fleet.ledger.close)
        self.fleet.keys.close()
        (self._home.run / "node.json").unlink(missing_ok=True)

    # ── what the admin API asks ──

    def ready(self) -> list[str]:
        missing = []
        if not self._settled:
            missing.append("servers are still starting")
        if self._server.should_exit:
            missing.append("it is shutting down")
        if self.fleet.ledger.problem:
            missing.append(f"the ledger cannot be written: {self.fleet.ledger.problem}")
        return missing

    def status(self) -> dict[str, Any]:
        endpoints = self.fleet.gateway.endpoints.all()
        return {
            "url": self.url,
            "pid": os.getpid(),
            "version": __version__,
            "snapshot": self._desired.snapshot().version,
            "settled": self._settled,
            "servers": [self.server_status(name) for name in self._desired.servers],
            "profiles": profile_rows(self._desired.catalog.profiles, endpoints),
            "conflicts": conflict_rows(endpoints),
        }

    def server_status(self, name: str) -> dict[str, Any]:
        spec = self._desired.servers.get(name)
        if spec is None:
            raise row_not_found(name)
        observed = self.fleet.supervisor.observed().get(name)
        upstream, breaker = self.fleet.directory.upstreams.get(name), self.fleet.gateway.breaker.state(name)
        return server_row(spec, observed, upstream, breaker)

    async def apply(self, principal: str) -> list[dict[str, str]]:
        """Take over what `desired.json` says now. Settings need a restart; servers and roles do not."""
        desired = read_desired(self._home)
        before, self._desired = self._desired.snapshot().version, desired
        self._record("fleet.applied", {"before": before, "after": desired.snapshot().version}, principal)
        self._settled = False
        actions = await wiring.apply(self.fleet, desired.snapshot())
        await self._until_settled()
        return [{"step": action.step, "server": action.server, "why": action.reason} for action in actions]

    async def restart(self, name: str, principal: str) -> None:
        self._record("server.restart_asked", {}, principal, name)
        await self.fleet.supervisor.restart(name)
        await self.fleet.directory.settled()

    def stop(self, principal: str) -> None:
        self._record("fleet.stop_asked", {}, principal)
        self._server.should_exit = True

    # ── inside ──

    def _on_signal(self) -> None:
        """The first one ends us in order; another one does not wait for calls in flight."""
        self._server.force_exit = self._server.should_exit
        self._server.should_exit = True

    def _uvicorn_config(self) -> uvicorn.Config:
        edge = self._desired.settings.edge
        guard = Guard(
            body_bytes_max=edge.body_bytes_max,
            hosts=frozenset({*(host.lower() for host in edge.hosts), hostname(edge.listen)}),
            origins=frozenset(origin.lower() for origin in edge.origins),
        )
        return uvicorn.Config(
            make_app(self),
            http=protocol_class(self.fleet.gateway.handle, guard),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=LAST_ANSWERS_S,
        )

    def _record(self, change: str, detail: dict[str, Any], principal: str = wiring.ADMIN, server: str = "") -> None:
        wiring.record_change(self.fleet.ledger, principal, change, server, detail)

    def _write_run_file(self) -> None:
        content = {
            "pid": os.getpid(),
            "url": self.url,
            "guardian_pid": self._guardian.pid,
            "started_at": self._started_at,
            "version": __version__,
        }
        write_private(self._home.run / "node.json", msgspec.json.encode(content))


class _Server(uvicorn.Server):
    """uvicorn's server, telling the node when it serves and when the drain begins."""

    def __init__(self, config: uvicorn.Config, node: Node) -> None:
        super().__init__(config)
        self._node = node

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the node's: uvicorn's own handling would end the process before its servers are ended."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._node.serving()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._node.drain()
        await super().shutdown(sockets)


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(home: Home, listener: socket.socket, guardian_mode: str) -> None:
    """Run a node on `listener` with what `desired.json` says; blocks until it ends. Raises typed errors."""
    desired = read_desired(home)
    descriptors.raise_limit()
    node_logs = configure_logs(home.logs / "garrison.log", desired.settings.logs.level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(home, desired, listener, guardian_mode))
    finally:
        node_logs.close()


async def _serve(home: Home, desired: Desired, listener: socket.socket, guardian_mode: str) -> None:
    await Node(home, desired, listener, guardian_mode).run()


def main() -> int:
    """Under the guardian: take the inherited socket and serve. Exit code 78: a restart would end the same way."""
    parser = argparse.ArgumentParser(prog="garrison.surfaces.node")
    parser.add_argument("--home", required=True, type=Path)
    home = Home(parser.parse_args().home)
    try:
        descriptor = read_desired(home).listen_fd
        serve(home, socket.socket(fileno=descriptor), "restart")
    except GarrisonError as error:
        sys.stderr.write(f"{error.message} ({error.hint})\n")
        return EXIT_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
