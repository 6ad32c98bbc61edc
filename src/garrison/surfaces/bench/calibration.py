"""A gateway that times its own parts, as a process of its own: the whole pipeline on a real socket, everything on.

    python -P -m garrison.surfaces.bench.calibration HOME UPSTREAM_URL

Its first line says where it listens and the key to call with. Then it does what the lines on its stdin say, and answers
each with a line: `fast` or `stages` (which way calls go), `time` or `plain` (timed or not), `begin`, and `end CALLS`,
which gives microseconds per call since `begin`: of the process in all, and of each part.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ServerSpec
from garrison.kernel.home import Home
from garrison.kernel.outbox import Outbox
from garrison.protocol.transports.links import Link
from garrison.surfaces.bench.stopwatch import Stopwatch, own_cost
from garrison.surfaces.serving import EdgeServer, edge_config
from garrison.surfaces.setting_groups.calls import LimitSettings
from garrison.surfaces.setting_groups.edge import EdgeSettings
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring import fleet as wiring

SERVER = "http"


class Calibration:
    """One fleet with one server, watched."""

    def __init__(self, home: Home, upstream: str) -> None:
        self.watch = Stopwatch()
        self.own = own_cost()
        _watch_classes(self.watch)
        limits = LimitSettings(calls_per_s=1_000_000, burst=1_000_000)
        self._settings = Settings(edge=EdgeSettings(listen="127.0.0.1:0"), limits=limits)
        self._snapshot = Snapshot({SERVER: ServerSpec(name=SERVER, transport="http", url=upstream)}, {})
        self.fleet = wiring.build(home, self._settings, self._snapshot, f"bench-{home.root.name}")
        self.fleet.gateway.watch(self.watch.wrap)
        self._cpu_us = 0.0

    async def serve(self) -> None:
        """Until stdin ends."""
        listener = socket.create_server(("127.0.0.1", 0))
        ready = asyncio.Event()
        config = edge_config(_no_app, self.fleet.gateway.handle, self._settings.edge)
        config.load()
        made: Any = config.http_protocol_class
        made.data_received = self.watch.wrap("edge", made.data_received)
        server = EdgeServer(config, ready.set, _nothing)
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        await ready.wait()
        await self.fleet.supervisor.apply(self._snapshot)
        await self.fleet.supervisor.settled()
        await self.fleet.directory.settled()
        port = listener.getsockname()[1]
        _say({"url": f"http://127.0.0.1:{port}/servers/{SERVER}/mcp", "key": self.fleet.home.admin_key.read_text()})
        while line := await asyncio.to_thread(sys.stdin.readline):
            _say(self._do(*line.split()))
        server.should_exit = True
        await serving
        await self._stop()

    def _do(self, word: str, count: str = "0") -> dict[str, Any]:
        match word:
            case "fast" | "stages":
                self.fleet.gateway.fast_path(word == "fast")
            case "time" | "plain":
                self.watch.on = word == "time"
            case "begin":
                self.watch.restart()
                self._cpu_us = _cpu_us()
            case "end":
                calls = int(count)
                whole = (_cpu_us() - self._cpu_us) / max(calls, 1)
                return {"whole": whole, "parts": self.watch.found_us(calls, self.own)}
        return {}

    async def _stop(self) -> None:
        await wiring.stop(self.fleet)
        await asyncio.to_thread(self.fleet.ledger.close)
        self.fleet.keys.close()


def _watch_classes(watch: Stopwatch) -> None:
    """What has no place in the gateway: reading a server's answers, and writing to sockets. This process does nothing else."""  # noqa: E501
    Link.data_received = watch.wrap("server's answer", Link.data_received)  # type: ignore[method-assign]
    Outbox.put = watch.wrap("writing", Outbox.put)  # type: ignore[method-assign]
    Outbox.flush = watch.wrap("writing", Outbox.flush)  # type: ignore[method-assign]


def _cpu_us() -> float:
    """Of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    sys.stdout.flush()


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    """Nothing but MCP is asked here."""


async def _nothing() -> None:
    """There is nothing to drain: whoever measures has its answers."""


def main() -> None:
    home, upstream = Home(Path(sys.argv[1])), sys.argv[2]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(home, upstream))


async def _run(home: Home, upstream: str) -> None:
    await Calibration(home, upstream).serve()


if __name__ == "__main__":
    main()
