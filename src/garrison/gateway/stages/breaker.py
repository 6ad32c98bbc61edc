"""breaker: a server that does not answer is left alone for a while, and its callers are told at once."""

from __future__ import annotations

from collections.abc import Callable

from garrison.gateway.breakers import Breaker, BreakerPolicy, State, Wait, verdict_of
from garrison.gateway.call import Call, Outcome
from garrison.gateway.refusals import Busy
from garrison.gateway.stage import Stage, Step
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OWN_MAX, Key
from garrison.gateway.upstreams.upstream import Upstream
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics

OWNERS_MAX = 2 * OWN_MAX
"""Breakers of clients' own processes; the oldest go first."""

_GAUGE = {"closed": 0.0, "half-open": 0.5, "open": 1.0}


class CircuitBreaker(Stage):
    """One breaker for each server, for each instance where there are several, and for each process of a client's own.

    `monotonic_s` is injected.
    """

    name = "breaker"
    needs = frozenset({"target", "arguments"})

    def __init__(
        self, policy: BreakerPolicy, directory: Directory, metrics: Metrics, monotonic_s: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._directory = directory
        self._now = monotonic_s
        self._breakers: dict[str, Breaker] = {}
        self._owners: dict[Key, Breaker] = {}
        """Of clients' own processes."""
        about = "Whether a server is called (0), tried out (0.5) or left alone (1)."
        self._states = metrics.gauge("garrison.breaker.state", about, (names.SERVER,))
        self._opened = metrics.counter("garrison.breaker.opened", "How often a breaker has opened.", (names.SERVER,))
        metrics.before_rendering(self._measure)
        directory.on_connected(self._reconnected)

    def enter(self, call: Call) -> Step:
        upstream = call.upstream
        if upstream is None or call.answer is not None or upstream.connection is None:
            return None  # that a server has no connection is known, and why; its callers are told that
        if call.owner is not None and upstream.spec.transport == "stdio":
            breaker = self.of_owner(call.owner.key)  # a process of its own: what is wrong with it concerns nobody else
        elif upstream.pool is not None and upstream.pool.take(call):
            return None
        else:
            breaker = self.of(upstream)
        answer = breaker.ask(self._now())
        if isinstance(answer, Wait):
            message = f"server {upstream.name} has not answered lately and is left alone for {answer.after_s:.0f} s"
            raise Busy("breaker.open", message, "see its log; `garrison status` shows it", answer.after_s)
        call.permit = answer
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        permit = call.permit
        if permit is not None:
            call.permit = None
            permit.breaker.tell(permit, verdict_of(outcome.failure), self._now())
        return outcome

    def of(self, upstream: Upstream) -> Breaker:
        return self._breakers.get(upstream.name) or self._new(upstream.name)

    def state(self, server: str) -> State:
        """For people: where this server's breaker stands."""
        upstream, breaker = self._directory.upstreams.get(server), self._breakers.get(server)
        if upstream is not None and upstream.pool is not None:
            return upstream.pool.state()
        return "closed" if breaker is None else breaker.state

    def of_owner(self, key: Key) -> Breaker:
        """Of a client's own process."""
        found = self._owners.get(key)
        if found is None:
            while len(self._owners) >= OWNERS_MAX:
                del self._owners[next(iter(self._owners))]
            found = self._owners[key] = Breaker(self._policy)
        return found

    def _new(self, server: str) -> Breaker:
        for gone in self._breakers.keys() - self._directory.upstreams.keys() - {server}:
            if not self._directory.busy(gone):
                del self._breakers[gone]
        return self._breakers.setdefault(server, Breaker(self._policy))

    def _reconnected(self, server: str) -> None:
        breaker = self._breakers.get(server)
        if breaker is not None:
            breaker.reconnected()

    def _measure(self) -> None:
        for server, breaker in self._breakers.items():
            self._states.cell(server).set(_GAUGE[breaker.state])
            self._opened.cell(server).value = breaker.opened
        for server, upstream in self._directory.upstreams.items():
            if upstream.pool is not None:
                self._states.cell(server).set(_GAUGE[upstream.pool.state()])
                self._opened.cell(server).value = upstream.pool.opened
