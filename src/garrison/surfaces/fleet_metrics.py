"""What the fleet looks like, as numbers: servers that run, restarts, calls in flight."""

from __future__ import annotations

from garrison.surfaces.wiring import Fleet
from garrison.telemetry import names


def add_fleet_metrics(fleet: Fleet) -> None:
    """Register the gauges of servers and calls; they are read when somebody scrapes."""
    metrics = fleet.metrics
    running = metrics.gauge(names.SERVER_RUNNING, "1 while the server runs, else 0.", (names.SERVER,))
    restarts = metrics.gauge(names.SERVER_RESTARTS, "Starts of the server that nobody asked for.", (names.SERVER,))
    in_flight = metrics.gauge(names.SERVER_CALLS_IN_FLIGHT, "Calls without an answer yet.", (names.SERVER,))
    streams = metrics.gauge(names.STREAMS_OPEN, "Streams on which clients listen.").cell()
    own = metrics.gauge(names.OWN_CONNECTIONS, "Connections to servers that one client has to itself.").cell()

    def collect() -> None:
        for name, observed in fleet.supervisor.observed().items():
            running.cell(name).set(1 if observed.state == "running" else 0)
            restarts.cell(name).set(observed.restarts)
        for name, upstream in fleet.directory.upstreams.items():
            in_flight.cell(name).set(upstream.in_flight)
        streams.set(len(fleet.gateway.streams))
        own.set(len(fleet.gateway.own))

    metrics.before_rendering(collect)
