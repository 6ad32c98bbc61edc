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
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from garrison import __version__
from garrison.gateway.call import HttpRequest, Sink
from garrison.gateway.worker import Worker
from garrison.kernel import descriptors
from garrison.kernel.clock import SystemClock, rfc3339
from garrison.kernel.errors import Defect, GarrisonError
from garrison.kernel.home import Home, write_private
from garrison.protection.reasons import with_reason
from garrison.runtimes.guardian import EXIT_CONFIG
from garrison.runtimes.guardianship import Charge, GuardianWatch
from garrison.surfaces import budgets
from garrison.surfaces.api.app import make_app, row_not_found
from garrison.surfaces.desired import Desired, lock_of, read_desired
from garrison.surfaces.edge.reading import is_mcp_path
from garrison.surfaces.fleet_metrics import add_fleet_metrics
from garrison.surfaces.launch import fleet_id, node_argv
from garrison.surfaces.ledger_place import place_in
from garrison.surfaces.node_tls import edge_of, watch_over, watched
from garrison.surfaces.node_tls import row as tls_row
from garrison.surfaces.revisions import remember
from garrison.surfaces.serving import EdgeServer, drained, edge_config, public_url_of, url_of
from garrison.surfaces.shown import conflict_rows, profile_rows
from garrison.surfaces.status import server_row
from garrison.surfaces.wiring import fleet as wiring
from garrison.surfaces.wiring.auditing import Auditing
from garrison.surfaces.wiring.records import ADMIN, record_change
from garrison.surfaces.workers.front import handler, run_app
from garrison.surfaces.workers.post import Post
from garrison.surfaces.workers.shares import TOPIC, Shares
from garrison.surfaces.workers.totals import Totals
from garrison.surfaces.workers.whereabouts import Whereabouts
from garrison.surfaces.workers.workforce import Workforce
from garrison.telemetry.logs import configure_logs
from garrison.telemetry.process import age_s

METRICS_S = 2.0
APPLY_S = 600.0
"""Other workers may wait for drains and for the starts of servers."""

log = logging.getLogger("garrison")


class Node:
    """One fleet, served. `guardian_mode`: `restart` under a guardian, `sweep` in the foreground."""

    def __init__(self, home: Home, desired: Desired, listeners: Sequence[socket.socket], guardian_mode: str) -> None:
        listener, *others = listeners
        worker = Worker(1, len(listeners))
        self._tls = edge_of(home, desired, is_primary=True)
        self.fleet = wiring.build(home, desired.settings, desired.snapshot(), fleet_id(home), worker, lock_of(desired))
        add_fleet_metrics(self.fleet)
        self._home = home
        self._desired = desired
        self._listener = listener
        self.url = url_of(listener, desired.settings.edge)
        wiring.listening(self.fleet, public_url_of(self.url, desired.settings.edge) or self.url)
        self._started_at = rfc3339(SystemClock().wall_ns())
        self._settled = False
        self._answering: set[asyncio.Task[None]] = set()
        self._app = make_app(self)
        self._post = Post(home.run, worker, self)
        self._totals = Totals()
        self._shares = Shares(self.fleet.gateway, self._post) if others else None
        further = {number: one.fileno() for number, one in enumerate(others, 2)}
        self._further = dict(enumerate(others, 2))
        self._workforce = Workforce(home.root, fleet_id(home), further, self._post, self.fleet.reaper, self._take_over)
        whereabouts = Whereabouts(
            worker, self.fleet.directory, self.fleet.gateway.endpoints, self.fleet.authenticator.holder
        )
        handle = handler(self.fleet.gateway, whereabouts, self._post) if others else self.fleet.gateway.handle
        config = edge_config(self._app, handle, desired.settings.edge, self._tls, self.fleet.certificates)
        self._server = EdgeServer(config, self.serving, self.drain)
        if others:
            self.fleet.budgets.tell_workers = self._post.tell
        watch_over(self._tls, lambda: self._server.server_state.connections, self.fleet.metrics)
        ledger = place_in(home, desired.settings.ledger.url, os.environ)
        self._auditing = Auditing(home, ledger, desired.settings, self.fleet.metrics)
        self._restarts = guardian_mode == "restart"
        charge = Charge(
            node_argv=tuple(node_argv(home)),
            home_run=home.run,
            fleet_id=fleet_id(home),
            mode="restart" if guardian_mode == "restart" else "sweep",
            fds=tuple(one.fileno() for one in listeners) if guardian_mode == "restart" else (),
        )
        self._guardian = GuardianWatch(charge, os.environ, lambda pid: self._write_run_file())

    # ── life ──

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; everything is ended when this returns."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._server.asked_to_end)
        self.fleet.reaper.adopt()
        self._guardian.start()
        if self._tls is not None and self._restarts:  # in the foreground it means that the terminal has gone
            loop.add_signal_handler(signal.SIGHUP, partial(self._tls.look, always=True))
        reaping = asyncio.ensure_future(self.fleet.reaper.run())
        counting = asyncio.ensure_future(self.fleet.budgets.run())
        looking = asyncio.ensure_future(watched(self._tls)) if self._tls is not None else asyncio.Future()
        applying = asyncio.ensure_future(self._start_servers())
        self._auditing.start()
        sharing = asyncio.ensure_future(self._shares.run()) if self._shares is not None else asyncio.Future()
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            applying.cancel()
            counting.cancel()
            await self._shut_down()
            for task in (reaping, sharing, looking):
                task.cancel()
            await asyncio.gather(applying, counting, reaping, sharing, looking, return_exceptions=True)

    def serving(self) -> None:
        """The listener is open: say where."""
        self._write_run_file()
        remember(self._home, self._desired)
        self._record("fleet.started", {"url": self.url, "snapshot": self._desired.snapshot().version})
        log.info("serving", extra={"url": self.url, "pid": os.getpid(), "start_s": round(age_s(), 2)})

    async def drain(self) -> None:
        """The end was asked for: here, and at the other workers."""
        limit_s = self._desired.settings.edge.drain_s
        await asyncio.gather(
            drained(self.fleet.gateway, self._server, limit_s, self._post.waiting), self._workforce.end(limit_s)
        )

    async def _take_over(self, worker: int) -> None:
        await self._server.take_over(self._further[worker].dup())

    async def _start_servers(self) -> None:
        await self.fleet.supervisor.apply(self._desired.snapshot())
        if self._workforce.standings:
            await self._post.open()
            await self.fleet.relays.open(self._home.run, self.fleet.supervisor, self.fleet.gateway, self.fleet.dialer)
            self._workforce.start()  # only now: what a former life left is swept up by then, workers included
        await self._until_settled()

    async def _until_settled(self) -> None:
        await self.fleet.supervisor.settled()
        await self.fleet.directory.settled()
        await self._workforce.settled()
        self._settled = True

    async def _shut_down(self) -> None:
        self._guardian.leave()
        self.fleet.gateway.in_flight.cancel_all("the gateway is shutting down")
        await self.fleet.relays.close()
        await wiring.stop(self.fleet)
        await self._post.close()
        self._record("fleet.stopped", {})
        await asyncio.to_thread(self.fleet.ledger.close)
        await asyncio.to_thread(self._auditing.stop)
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
        return missing + self._workforce.missing()

    def health(self) -> list[str]:
        return self._workforce.silent()

    async def metrics(self) -> bytes:
        """Summed over the workers: `workers/totals.py` says how."""
        answers = await self._workforce.all_do("metrics", timeout_s=METRICS_S)
        for number, standing in self._workforce.standings.items():
            if number in answers:
                self._totals.add(number, standing.restarts, answers[number])
            else:
                self._totals.gone(number)
        return self._totals.render(self.fleet.metrics)

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
            **({"public_url": known_as} if (known_as := public_url_of(self.url, self._desired.settings.edge)) else {}),
            **tls_row(self._tls),
            **({"limits": {"shared": self.fleet.budgets.state}} if self.fleet.budgets.state else {}),
            **({"workers": self._workforce.rows()} if self._workforce.standings else {}),
            **({"forwarding": forwarding} if (forwarding := self._auditing.status()) else {}),
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
        remember(self._home, desired)
        self._record("fleet.applied", {"before": before, "after": desired.snapshot().version}, principal)
        self._settled = False
        actions, _ = await asyncio.gather(
            wiring.apply(self.fleet, desired.snapshot()), self._workforce.all_do("apply", timeout_s=APPLY_S)
        )
        await self._until_settled()
        await self._workforce.all_do("settle", timeout_s=APPLY_S)
        return [{"step": action.step, "server": action.server, "why": action.reason} for action in actions]

    async def limits_of_others(self, principal: str) -> list[list[dict[str, Any]]]:
        return list((await self._workforce.all_do("limits", principal, timeout_s=METRICS_S)).values())

    async def pins_changed(self) -> None:
        self.fleet.directory.rejudge()
        await self._workforce.all_do("pins", timeout_s=METRICS_S)

    async def restart(self, name: str, principal: str) -> None:
        self._record("server.restart_asked", {}, principal, name)
        await self.fleet.supervisor.restart(name)
        await self._workforce.all_do("restart", name, timeout_s=APPLY_S)
        await self.fleet.directory.settled()

    async def withdraw(self, server: str, principal: str) -> None:
        await self._workforce.all_do("withdraw", [server, principal], timeout_s=METRICS_S)

    def stop(self, principal: str) -> None:
        self._record("fleet.stop_asked", {}, principal)
        self._server.should_exit = True

    # ── what other workers ask ──

    def serve(self, request: HttpRequest, sink: Sink) -> None:
        """A request that came to another worker and belongs here."""
        if is_mcp_path(request.head.path.encode()):
            self.fleet.gateway.handle(request, sink)
        else:
            task = asyncio.ensure_future(run_app(self._app, request, sink))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def obey(self, order: str, detail: Any) -> Any:
        raise Defect("worker.order", f"there is no order {order}")

    def hear(self, worker: int, topic: str, detail: Any) -> None:
        if topic == TOPIC and self._shares is not None:
            self._shares.hear(worker, detail)
        elif topic == budgets.TOPIC:
            self.fleet.budgets.hear(worker, detail)

    def missed(self, worker: int) -> None:
        self.fleet.budgets.missed(worker)
        if self._shares is not None:
            self._shares.missed(worker)

    # ── inside ──

    def _record(self, change: str, detail: dict[str, Any], principal: str = ADMIN, server: str = "") -> None:
        record_change(self.fleet.ledger, principal, change, server, with_reason(detail))

    def _write_run_file(self) -> None:
        content = {
            "pid": os.getpid(),
            "url": self.url,
            "guardian_pid": self._guardian.pid,
            "started_at": self._started_at,
            "version": __version__,
        }
        write_private(self._home.run / "node.json", msgspec.json.encode(content))


def serve(home: Home, listeners: Sequence[socket.socket], guardian_mode: str) -> None:
    """Run a node on the first of `listeners`, and further workers on the others, with what `desired.json` says.

    Blocks until it ends. Raises typed errors.
    """
    desired = read_desired(home)
    descriptors.raise_limit()
    node_logs = configure_logs(home.logs / "garrison.log", desired.settings.logs.level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(home, desired, listeners, guardian_mode))
    finally:
        node_logs.close()


async def _serve(home: Home, desired: Desired, listeners: Sequence[socket.socket], guardian_mode: str) -> None:
    await Node(home, desired, listeners, guardian_mode).run()


def main() -> int:
    """Under the guardian: take the inherited socket and serve. Exit code 78: a restart would end the same way."""
    parser = argparse.ArgumentParser(prog="garrison.surfaces.node")
    parser.add_argument("--home", required=True, type=Path)
    home = Home(parser.parse_args().home)
    try:
        desired = read_desired(home)
        given = (desired.listen_fd, *desired.worker_fds)
        serve(home, [socket.socket(fileno=descriptor) for descriptor in given], "restart")
    except GarrisonError as error:
        sys.stderr.write(f"{error.message} ({error.hint})\n")
        return EXIT_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
