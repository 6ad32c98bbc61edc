"""retry: a call that failed where nothing can have happened twice is made again, a little later."""

from __future__ import annotations

from collections.abc import Callable

from garrison.gateway.call import Call, Outcome
from garrison.gateway.retries import Budget, RetryPolicy, may_repeat, says_idempotent, wait_s
from garrison.gateway.stage import Again, Stage, Step
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.upstream import Upstream
from garrison.protocol import methods
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics


class Retry(Stage):
    """`chance`: uniform in [0, 1), injected."""

    name = "retry"
    needs = frozenset({"target", "arguments"})

    def __init__(
        self, policy: RetryPolicy, directory: Directory, metrics: Metrics, chance: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._directory = directory
        self._chance = chance
        self._budgets: dict[str, Budget] = {}
        self._retries = metrics.counter("garrison.retries", "Calls made again after a failure.", (names.SERVER,))

    def enter(self, call: Call) -> Step:
        if call.upstream is not None and call.answer is None:
            self.budget(call.upstream).earn()
        return None

    def budget(self, upstream: Upstream) -> Budget:
        return self._budgets.get(upstream.name) or self._new(upstream.name)

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        failure = outcome.failure
        if failure is None or call.upstream is None or call.answer is not None or call.streaming:
            return outcome
        if call.retries >= self._policy.retries_max or call.rpc_id is None:
            return outcome
        if not may_repeat(call.method, failure, idempotent=_is_idempotent(call)):
            return outcome
        server = call.upstream.name
        if not self._budgets[server].spend():
            return outcome
        if call.upstream.pool is not None and not call.upstream.pool.move(call, failure):
            return outcome
        self._retries.cell(server).add()
        call.retries += 1
        raise Again(self.name, wait_s(self._policy, call.retries - 1, self._chance()))

    def _new(self, server: str) -> Budget:
        for gone in self._budgets.keys() - self._directory.upstreams.keys() - {server}:
            if not self._directory.busy(gone):
                del self._budgets[gone]
        return self._budgets.setdefault(server, Budget(self._policy))


def _is_idempotent(call: Call) -> bool:
    """A tool that says so itself, on a server that its owner believes."""
    if call.method != methods.TOOLS_CALL or call.upstream is None or call.definition is None:
        return False
    return call.upstream.spec.retry_idempotent and says_idempotent(call.definition.content)
