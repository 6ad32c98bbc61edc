"""wake: a lazy server is started by the first call to it, which waits until it serves."""

from __future__ import annotations

from garrison.gateway.call import Call, Outcome
from garrison.gateway.stage import Stage, Step
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.upstream import Upstream


class Wake(Stage):
    name = "wake"
    needs = frozenset({"target", "decision"})
    gives = frozenset({"awake"})

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def enter(self, call: Call) -> Step:
        upstream = call.upstream
        if upstream is None or upstream.connection is not None or upstream.spec.start != "lazy":
            return None
        return self._wake(upstream)

    async def _wake(self, upstream: Upstream) -> Outcome | None:
        if self._directory.demand is not None:
            await self._directory.demand(upstream.name)
            await upstream.settled()
        return None
