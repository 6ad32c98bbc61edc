"""What the fleet looks like, as numbers: servers that run, restarts, calls in flight."""

from __future__ import annotations

from garrison.gateway.upstreams.directory import Directory
from garrison.surfaces.wiring.fleet import Fleet
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics


def add_instance_metrics(directory: Directory, metrics: Metrics) -> None:
    """Register the gauges of instances, of servers that have several."""
    labels = (names.SERVER, names.INSTANCE)
    in_flight = metrics.gauge(names.INSTANCE_CALLS_IN_FLIGHT, "Calls at the instance without an answer yet.", labels)
    about = "1 while the instance gets no calls, or one as a trial, because it failed or was slow; else 0."
    left_alone = metrics.gauge(names.INSTANCE_LEFT_ALONE, about, labels)
    about = "How often an instance was left out because it stood out from the others."
    ejected = metrics.counter(names.INSTANCES_EJECTED, about, (names.SERVER,))

    def collect() -> None:
        for name, upstream in directory.upstreams.items():
            if upstream.pool is None:
                continue
            alone = upstream.pool.left_alone()
            for number in range(1, upstream.spec.count + 1):
                member = upstream.pool.members.get(number)
                in_flight.cell(name, str(number)).set(member.in_flight if member is not None else 0)
                left_alone.cell(name, str(number)).set(1 if number in alone else 0)
            ejected.cell(name).value = upstream.pool.ejections

    metrics.before_rendering(collect)


def add_fleet_metrics(fleet: Fleet) -> None:
    """Register the gauges of servers and calls; they are read when somebody scrapes."""
    metrics = fleet.metrics
    running = metrics.gauge(names.SERVER_RUNNING, "1 while the server runs, else 0.", (names.SERVER,))
    instances = metrics.gauge(names.SERVER_INSTANCES, "Instances of the server that run.", (names.SERVER,))
    restarts = metrics.gauge(names.SERVER_RESTARTS, "Starts of the server that nobody asked for.", (names.SERVER,))
    in_flight = metrics.gauge(names.SERVER_CALLS_IN_FLIGHT, "Calls to it without an answer yet.", (names.SERVER,))
    streams = metrics.gauge(names.STREAMS_OPEN, "Streams on which clients listen.").cell()
    failures = metrics.counter(names.AUTH_FAILURES, "Requests of nobody who is known.", (names.ERROR_TYPE,))
    own = metrics.gauge(names.OWN_CONNECTIONS, "Connections to servers that one client has to itself.").cell()

    def collect() -> None:
        for name, observed in fleet.supervisor.observed().items():
            running.cell(name).set(1 if observed.state == "running" else 0)
            instances.cell(name).set(observed.ready)
            restarts.cell(name).set(observed.restarts)
        for name, upstream in fleet.directory.upstreams.items():
            in_flight.cell(name).set(upstream.in_flight)
        streams.set(len(fleet.gateway.streams))
        own.set(len(fleet.gateway.own))
        for code, count in fleet.authenticator.failures.items():
            failures.cell(code).value = count

    metrics.before_rendering(collect)
    add_instance_metrics(fleet.directory, metrics)
