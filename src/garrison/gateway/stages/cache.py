"""cache: what a server allows to be kept is asked of it once, and never crosses from one principal to another."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET

from garrison.gateway.call import Call, Outcome
from garrison.gateway.kept import KeptAnswers, question
from garrison.gateway.stage import Stage, Step
from garrison.gateway.upstreams.directory import Directory
from garrison.protocol import methods
from garrison.protocol.messages import Message
from garrison.telemetry.metrics import Metrics

_STALE_AFTER = frozenset({*methods.LIST_CHANGED, "notifications/resources/updated"})


class Cache(Stage):
    """Below `screen`, so that what a caller may see is decided anew each time. `monotonic_s` is injected."""

    name = "cache"
    needs = frozenset({"principal", "target", "decision"})

    def __init__(
        self, kept: KeptAnswers, directory: Directory, metrics: Metrics, monotonic_s: Callable[[], float]
    ) -> None:
        self._kept = kept
        self._now = monotonic_s
        self._generations: dict[str, int] = {}
        lookups = metrics.counter("garrison.cache.lookups", "Answers that were looked for in the cache.", ("result",))
        self._hits, self._misses = lookups.cell("hit"), lookups.cell("miss")
        metrics.gauge("garrison.cache.size", "Bytes of kept answers.", unit="bytes").cell().read_from(
            lambda: self._kept.size_bytes
        )
        directory.on_connected(self._outdate)
        directory.on_heard(self._heard)
        directory.on_changed(lambda server, notification: self._outdate(server))

    def enter(self, call: Call) -> Step:
        if call.method not in methods.CACHEABLE or call.era != "modern" or call.upstream is None:
            return None
        if call.answer is not None or call.rpc_id is None or call.principal is None:
            return None
        try:
            asked = question(call.params)
        except (msgspec.MsgspecError, RecursionError):
            return None
        server = call.upstream.name
        whose = call.owner.principal if call.owner is not None else ""  # what is public there is one principal's view
        key = (call.endpoint, server, self._generations.get(server, 0), call.method, call.version, asked, whose)
        found = self._kept.find(call.principal.id, key, self._now())
        if found is not None:
            self._hits.add()
            return Outcome(result=found)
        self._misses.add()
        call.kept_key = key
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        if call.kept_key is not None and outcome.result is not None and call.principal is not None:
            self._kept.keep(call.principal.id, call.kept_key, outcome.result, self._now())
        return outcome

    def _heard(self, server: str, message: Message) -> None:
        if message.method is not UNSET and message.method in _STALE_AFTER:
            self._outdate(server)

    def _outdate(self, server: str) -> None:
        """What was asked before this moment, even if its answer is still on the way, is not served any more."""
        self._generations[server] = self._generations.get(server, 0) + 1
