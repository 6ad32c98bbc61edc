"""All instances of one server: a keeper for each, started, restarted and drained on its own, seen as one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic

import msgspec

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import Unavailable
from garrison.runtimes.instance import Observed, State
from garrison.runtimes.keeper import Keeper
from garrison.runtimes.life import L, Means

_log = logging.getLogger("garrison.runtimes")

_BEST_FIRST = (
    State.RUNNING,
    State.DRAINING,
    State.STARTING,
    State.BACKOFF,
    State.AUTH_NEEDED,
    State.EXITED,
    State.STOPPING,
    State.FATAL,
    State.STOPPED,
)
"""A server is in the state of the instance that is best off: one that runs is enough."""


class Crew(Generic[L]):
    """`publish` takes what is seen of the server, and a connection to use, whenever an instance changes."""

    def __init__(self, spec: ServerSpec, means: Means[L], publish: Callable[[Observed, L | None], None]) -> None:
        self._spec = spec
        self._means = means
        self._publish = publish
        self._tools: int | None = None
        self._retired = False
        self._restarting = asyncio.Lock()
        self._keepers: dict[int, Keeper[L]] = {}
        for number in range(1, spec.count + 1):
            self._keepers[number] = self._keeper(number)

    # ── what is seen ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def observed(self) -> Observed:
        seen = [keeper.observed for keeper in self._keepers.values()]
        return together(self._spec, seen, self._tools)

    @property
    def link(self) -> L | None:
        """A connection to use: of one that runs, else of one that is being drained."""
        drained = [keeper.link for keeper in self._keepers.values() if keeper.link is not None]
        return next(iter([*self.links.values(), *drained]), None)

    @property
    def links(self) -> Mapping[int, L]:
        """The connections to all instances that may be called, by their numbers."""
        return {
            number: keeper.link
            for number, keeper in self._keepers.items()
            if keeper.link is not None and keeper.observed.state is State.RUNNING
        }

    async def settled(self) -> None:
        """Every instance has had its first verdict."""
        for keeper in tuple(self._keepers.values()):
            await keeper.settled.wait()

    def note_tools(self, count: int) -> None:
        if count != self._tools:
            self._tools = count
            self._tell()

    # ── what others ask for ─────────────────────────────────────────────────────────────────────────────────────

    async def start(self, why: str) -> None:
        await asyncio.gather(*(keeper.start(why) for keeper in self._keepers.values()))

    async def retire(self, why: str) -> None:
        """Drain and end all of them, for good; returns when nothing of them is left."""
        self._retired = True
        await asyncio.gather(*(keeper.retire(why) for keeper in self._keepers.values()))

    async def restart(self, why: str) -> None:
        """One after the other, so that the others serve meanwhile; returns when each has had its first verdict.

        What does not run begins. If one does not come back while others run, the rest is left as it is.
        """
        async with self._restarting:
            order = sorted(self._keepers.values(), key=lambda keeper: keeper.observed.state is State.RUNNING)
            for keeper in order:
                await keeper.restart(why)
                await keeper.settled.wait()
                if keeper.observed.state is not State.RUNNING and self.links:
                    extra = {"server": self._spec.name, "number": keeper.observed.number}
                    _log.warning("an instance did not come back; the others are not restarted", extra=extra)
                    return

    async def renew(self, pid: int, why: str) -> None:
        """Drain and end the instance of this process, and start it afresh; the others are left alone."""
        for keeper in tuple(self._keepers.values()):
            if keeper.observed.pid == pid:
                await keeper.restart(why)

    async def demand(self) -> L:
        """A live connection, started if need be: the first that is ready. Raises `Unavailable` when all fail."""
        if self.links or len(self._keepers) == 1:
            keeper = self._keepers[next(iter(self.links), next(iter(self._keepers)))]
            return await keeper.demand()
        tries = {asyncio.ensure_future(keeper.demand()) for keeper in self._keepers.values()}
        try:
            return await _first(tries)
        finally:
            for each in tries:
                each.cancel()
            await asyncio.gather(*tries, return_exceptions=True)

    async def update(self, spec: ServerSpec) -> None:
        """Take the new spec over; only what is too much is ended, only what lacks is started."""
        runs = self.observed.state is not State.STOPPED
        self._spec = spec
        surplus = [number for number in self._keepers if number > spec.count]
        missing = [number for number in range(1, spec.count + 1) if number not in self._keepers]
        for number, keeper in self._keepers.items():
            keeper.note(spec=spec_of(spec, number))
        for number in missing:
            self._keepers[number] = self._keeper(number)
        if runs and not self._retired:
            await asyncio.gather(*(self._keepers[number].start("more instances are wanted") for number in missing))
        await asyncio.gather(*(self._dismiss(number) for number in surplus))
        self._tell()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _dismiss(self, number: int) -> None:
        await self._keepers[number].retire("fewer instances are wanted")
        del self._keepers[number]

    def _keeper(self, number: int) -> Keeper[L]:
        return Keeper(spec_of(self._spec, number), self._means_of(number), number)

    def _means_of(self, number: int) -> Means[L]:
        """As for a single one, except that calls at the other instances are not waited for."""
        all_of_it = self._means

        async def drained(server: str) -> None:
            await (all_of_it.drained_at(server, number) if self._several else all_of_it.drained(server))

        def busy(server: str) -> bool:
            return all_of_it.busy_at(server, number) if self._several else all_of_it.busy(server)

        def record(change: str, server: str, detail: dict[str, Any]) -> None:
            all_of_it.record(change, server, {**detail, "number": number} if self._several else detail)

        return replace(all_of_it, drained=drained, busy=busy, record=record, publish=lambda seen, link: self._tell())

    @property
    def _several(self) -> bool:
        return self._spec.count > 1 or len(self._keepers) > 1

    def _tell(self) -> None:
        if self._keepers:
            self._publish(self.observed, self.link)


def spec_of(spec: ServerSpec, number: int) -> ServerSpec:
    """The spec of one instance: its own address where there are several."""
    if number <= 1 or not spec.urls:
        return spec
    further = spec.urls[: number - 1]
    return msgspec.structs.replace(spec, url=further[-1])


def together(spec: ServerSpec, seen: list[Observed], tools: int | None) -> Observed:
    """What is seen of the instances, as one server. Pure."""
    best = min(seen, key=lambda each: _BEST_FIRST.index(each.state))
    return replace(
        best,
        spec=spec,
        tools=tools,
        restarts=sum(each.restarts for each in seen),
        ready=sum(each.state is State.RUNNING for each in seen),
        each=tuple(seen) if spec.count > 1 else (),
    )


async def _first(tries: set[asyncio.Task[L]]) -> L:
    """The first that succeeds. Raises what the last one raised."""
    waiting = set(tries)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            failure = each.exception()
            if failure is None:
                return each.result()
            if not isinstance(failure, Unavailable) or not waiting:
                raise failure
