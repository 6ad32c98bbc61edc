"""Telling the other workers what was let in here, ten times a second while something is."""

from __future__ import annotations

import asyncio
from typing import Any

from garrison.gateway.gateway import Gateway
from garrison.gateway.shares import SharedLimit
from garrison.surfaces.workers.post import Post

EVERY_S = 0.1
REPEAT_EVERY = 20
"""Of so many reports one says everything, for those who have begun afresh."""
TOPIC = "let in"


class Shares:
    """Of limits and of the bound of calls in all."""

    def __init__(self, gateway: Gateway, post: Post) -> None:
        assert isinstance(gateway.limit, SharedLimit)
        self._limit = gateway.limit
        self._shed = gateway.shed
        self._post = post
        self._calls: dict[int, int] = {}
        self._told = 0

    async def run(self) -> None:
        """Until cancelled."""
        number = 0
        while True:
            await asyncio.sleep(EVERY_S)
            number += 1
            if number % REPEAT_EVERY == 0:
                self._limit.repeat()
            self._tell()

    def hear(self, worker: int, report: dict[str, Any]) -> None:
        self._limit.learn(worker, report)
        self._calls[worker] = report["calls"]
        self._shed.others_have(sum(self._calls.values()))

    def missed(self, worker: int) -> None:
        self._limit.forget(worker)
        self._calls.pop(worker, None)
        self._shed.others_have(sum(self._calls.values()))

    def _tell(self) -> None:
        report, calls = self._limit.report(), self._shed.in_flight
        if report or calls != self._told:
            self._told = calls
            self._post.tell(TOPIC, {"accounts": {}, "servers": {}, **report, "calls": calls})
