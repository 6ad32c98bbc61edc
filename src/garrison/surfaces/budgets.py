"""The metering's housekeeping: quotas to disk, news to other workers, and to and from what several gateways share."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Any, Final, Protocol

from garrison.gateway.meter_news import MeterNews
from garrison.gateway.metering import Metering
from garrison.kernel.clock import Clock
from garrison.policy.limits import Meter, Saved
from garrison.protection.budget_store import BudgetStore

TOPIC: Final = "metered"
TELL_EVERY_S: Final = 0.1
SAVE_EVERY: Final = 10
"""Of so many turns one writes to disk: what a killed process has not written down is at most a second's use."""
REPEAT_EVERY: Final = 20
SWEEP_EVERY: Final = 600

log = logging.getLogger("garrison.limits")


class Shared(Protocol):
    """What several gateways count together."""

    state: str

    async def tell(self, touched: set[Meter]) -> None: ...

    async def close(self) -> None: ...


class Budgets:
    """`shared` is None where each gateway counts for itself."""

    def __init__(self, metering: Metering, store: BudgetStore, clock: Clock, shared: Shared | None) -> None:
        self._metering = metering
        self._store = store
        self._clock = clock
        self._shared = shared
        self._news = MeterNews(metering)
        self._unsaved: set[Meter] = set()
        self.tell_workers: Callable[[str, Any], None] | None = None
        self.problem = ""
        """Why nothing can be written down; empty while all is well."""

    async def run(self) -> None:
        """Until cancelled."""
        await self._save()  # what others have counted
        turn = 0
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            turn += 1
            await self._turn(turn)

    async def _turn(self, turn: int) -> None:
        touched = self._metering.touched()
        self._unsaved |= touched
        if self.tell_workers is not None:
            if turn % REPEAT_EVERY == 0:
                touched |= set(self._news.everything())
            if report := self._news.report(touched):
                self.tell_workers(TOPIC, report)
        if self._shared is not None:
            await self._shared.tell(touched)
        if turn % SAVE_EVERY == 0:
            await self._save()
        if turn % SWEEP_EVERY == 0:
            self._metering.sweep()
            await asyncio.to_thread(self._prune)

    async def close(self) -> None:
        """Everything is told and written down."""
        self._unsaved |= self._metering.touched()
        if self._shared is not None:
            await self._shared.tell(self._unsaved)
            await self._shared.close()
        await self._save()
        await asyncio.to_thread(self._store.close)

    def hear(self, worker: int, report: dict[str, list[float]]) -> None:
        self._news.learn(worker, report)

    def missed(self, worker: int) -> None:
        self._news.forget(worker)

    @property
    def state(self) -> str:
        """Of what is shared, for people; empty where nothing is."""
        return self._shared.state if self._shared is not None else ""

    async def save(self) -> None:
        """Now, for somebody who wants to read it."""
        self._unsaved |= self._metering.touched()
        await self._save()

    async def _save(self) -> None:
        touched, self._unsaved = self._unsaved, set()
        quotas, used = self._news.unsaved(touched), self._metering.used_up()
        if not quotas and not used and self._metering.is_idle:
            return
        try:
            self._news.saved(await asyncio.to_thread(self._store.add, quotas, used, self._clock.wall_ns()))
            self.problem = ""
        except sqlite3.Error as error:
            self._not_saved(quotas, touched, error)

    def _not_saved(self, quotas: list[Saved], touched: set[Meter], error: sqlite3.Error) -> None:
        if not self.problem:
            log.error("what limits have counted cannot be written down", extra={"why": str(error)})
        self.problem = str(error)
        self._news.not_saved(quotas)
        self._unsaved |= touched

    def _prune(self) -> None:
        try:
            self._store.prune(self._clock.wall_ns())
        except sqlite3.Error as error:
            log.warning("what limits counted long ago cannot be cleared away", extra={"why": str(error)})
