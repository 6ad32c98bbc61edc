"""A further worker: edge and gateway on an event loop of its own, beside the node, on the same address.

    python -P -m garrison.surfaces.worker --home DIR --number 2 --fd 7

The node starts it, watches it and ends it. It starts no servers: those behind pipes are reached through the node.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop

from garrison.gateway.call import HttpRequest, Sink
from garrison.gateway.worker import Worker
from garrison.kernel import descriptors
from garrison.kernel.errors import Defect, GarrisonError
from garrison.kernel.home import Home
from garrison.runtimes.instance import State
from garrison.surfaces import budgets
from garrison.surfaces.api import limits
from garrison.surfaces.desired import Desired, lock_of, read_desired
from garrison.surfaces.fleet_metrics import add_fleet_metrics
from garrison.surfaces.launch import fleet_id
from garrison.surfaces.node_tls import edge_of, end_untrusted, watched
from garrison.surfaces.serving import EdgeServer, drained, edge_config, public_url_of, url_of
from garrison.surfaces.wiring import fleet as wiring
from garrison.surfaces.workers.front import admin_at_the_primary, handler
from garrison.surfaces.workers.post import Post
from garrison.surfaces.workers.shares import TOPIC, Shares
from garrison.surfaces.workers.totals import dump
from garrison.surfaces.workers.whereabouts import Whereabouts
from garrison.surfaces.workers.workforce import GIVEN_UP
from garrison.telemetry.logs import configure_logs

READY_S = 1.5
"""So long clients wait in the backlog for the servers to be connected; then they are told which are away."""

MOVING = frozenset({State.STARTING, State.DRAINING, State.STOPPING, State.EXITED})

log = logging.getLogger("garrison")


class WorkerProcess:
    """Serves until SIGTERM; the primary's orders come through the post."""

    def __init__(self, home: Home, desired: Desired, listener: socket.socket, number: int) -> None:
        self._home = home
        self._desired = desired
        self._listener = listener
        self._worker = Worker(number, desired.settings.edge.workers)
        self._tls = edge_of(home, desired, is_primary=False)
        self.fleet = wiring.build(
            home, desired.settings, desired.snapshot(), fleet_id(home), self._worker, lock_of(desired)
        )
        url = url_of(listener, desired.settings.edge)
        wiring.listening(self.fleet, public_url_of(url, desired.settings.edge) or url)
        add_fleet_metrics(self.fleet)
        self._post = Post(home.run, self._worker, self)
        self._shares = Shares(self.fleet.gateway, self._post)
        self._settled = False
        whereabouts = Whereabouts(
            self._worker, self.fleet.directory, self.fleet.gateway.endpoints, self.fleet.authenticator.holder
        )
        handle = handler(self.fleet.gateway, whereabouts, self._post)
        edge = desired.settings.edge
        config = edge_config(admin_at_the_primary(self._post), handle, edge, self._tls, self.fleet.certificates)
        self._server = EdgeServer(config, self._serving, self._drain)
        self.fleet.budgets.tell_workers = self._post.tell
        if self._tls is not None:
            end_untrusted(self._tls, lambda: self._server.server_state.connections)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._server.asked_to_end)
        await self._post.open()
        connecting = asyncio.ensure_future(self._connect())
        await asyncio.wait({connecting}, timeout=READY_S)
        sharing = asyncio.ensure_future(self._shares.run())
        counting = asyncio.ensure_future(self.fleet.budgets.run())
        looking = asyncio.ensure_future(watched(self._tls)) if self._tls is not None else asyncio.Future()
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            for task in (connecting, sharing, counting, looking):
                task.cancel()
            self.fleet.gateway.in_flight.cancel_all("the gateway is shutting down")
            await wiring.stop(self.fleet)
            await self._post.close()
            await asyncio.to_thread(self.fleet.ledger.close)
            self.fleet.keys.close()
            await asyncio.gather(connecting, sharing, counting, looking, return_exceptions=True)

    # ── what other workers ask ──

    def serve(self, request: HttpRequest, sink: Sink) -> None:
        self.fleet.gateway.handle(request, sink)

    async def obey(self, order: str, detail: Any) -> Any:
        if order == "state":
            return {"settled": self._settled and not self._is_moving(), "problems": self._problems()}
        if order == "apply":
            return await self._apply()
        if order == "restart":
            return await self._restart(detail)
        if order == "pins":
            self.fleet.directory.pins.reload()
            self.fleet.directory.rejudge()
            return True
        if order == "settle":
            await self._until_settled()
            return True
        if order == "withdraw":
            self.fleet.sign_ins.withdraw(*detail)
            return True
        if order == "limits":
            return limits.standing(self.fleet, detail)
        if order == "metrics":
            return dump(self.fleet.metrics)
        raise Defect("worker.order", f"there is no order {order}")

    def hear(self, worker: int, topic: str, detail: Any) -> None:
        if topic == TOPIC:
            self._shares.hear(worker, detail)
        elif topic == budgets.TOPIC:
            self.fleet.budgets.hear(worker, detail)
        elif topic == GIVEN_UP:
            self._post.give_up(detail)

    def missed(self, worker: int) -> None:
        self._shares.missed(worker)
        self.fleet.budgets.missed(worker)

    # ── inside ──

    async def _connect(self) -> None:
        await self.fleet.supervisor.apply(self._desired.snapshot())
        await self._until_settled()

    async def _apply(self) -> bool:
        self._desired = read_desired(self._home)
        self._settled = False
        await wiring.apply(self.fleet, self._desired.snapshot())
        await self._until_settled()
        return True

    async def _restart(self, name: str) -> bool:
        """One behind pipes is restarted by the primary, and says itself that it leaves."""
        spec = self._desired.servers.get(name)
        if spec is not None and spec.transport != "stdio":
            await self.fleet.supervisor.restart(name)
        await self._until_settled()
        return True

    async def _until_settled(self) -> None:
        await self.fleet.supervisor.settled()
        await self.fleet.directory.settled()
        self._settled = True

    def _is_moving(self) -> bool:
        """Whether a server is between two states."""
        return any(seen.state in MOVING for seen in self.fleet.supervisor.observed().values())

    def _problems(self) -> list[str]:
        problem = self.fleet.ledger.problem
        return [f"the ledger cannot be written: {problem}"] if problem else []

    def _serving(self) -> None:
        log.info("serving", extra={"worker": self._worker.number, "pid": os.getpid()})

    async def _drain(self) -> None:
        await drained(self.fleet.gateway, self._server, self._desired.settings.edge.drain_s, self._post.waiting)


def main() -> int:
    parser = argparse.ArgumentParser(prog="garrison.surfaces.worker")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--number", required=True, type=int)
    parser.add_argument("--fd", required=True, type=int)
    given = parser.parse_args()
    home = Home(given.home)
    try:
        desired = read_desired(home)
        descriptors.raise_limit()
        logs = configure_logs(home.logs / "garrison.log", desired.settings.logs.level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(home, desired, socket.socket(fileno=given.fd), given.number))
        logs.close()
    except GarrisonError as error:
        sys.stderr.write(f"worker {given.number}: {error.message} ({error.hint})\n")
        return 1
    return 0


async def _run(home: Home, desired: Desired, listener: socket.socket, number: int) -> None:
    await WorkerProcess(home, desired, listener, number).run()


if __name__ == "__main__":
    sys.exit(main())
