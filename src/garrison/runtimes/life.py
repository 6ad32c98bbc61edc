"""One life of an instance: start it, shake hands, watch it until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from garrison.catalog.spec import ServerSpec
from garrison.kernel.clock import Clock
from garrison.kernel.errors import Denied, GarrisonError, Invalid, NotFound, Unavailable, Unsupported
from garrison.kernel.ids import Ids
from garrison.kernel.waiting import in_time
from garrison.runtimes import failures, restarts
from garrison.runtimes.driver import Capability, Driver, Exit
from garrison.runtimes.instance import Instance, Observed
from garrison.runtimes.probes import HealthPolicy, Link, until_unhealthy
from garrison.runtimes.slots import StartSlots

L = TypeVar("L", bound=Link)

EXIT_REPORT_S = 1.0
"""After a connection broke: how long its process has to be seen dead, which explains it better."""

REMOTE_OPEN_S_MAX = 20.0
"""Nothing is downloaded or booted by connecting to a server that runs elsewhere."""

TAIL_LINES = 20

HOPELESS = (Invalid, NotFound, Denied, Unsupported)
"""Raised before there is an instance, these come from the spec, not from the world: trying again cannot help."""


@dataclass(frozen=True)
class Policies:
    restart: restarts.RestartPolicy = field(default_factory=restarts.RestartPolicy)
    health: HealthPolicy = field(default_factory=HealthPolicy)
    drain_s: float = 30.0
    starts_at_once: int | None = None
    """None: by the number of cores."""


@dataclass(frozen=True)
class Means(Generic[L]):
    """All that a server is kept running with."""

    driver: Driver
    connect: Callable[[Instance], L]
    resolve: Callable[[ServerSpec], ServerSpec]
    """Fill in references; raises a `GarrisonError` for what is missing. What it returns is used, never kept."""
    record: Callable[[str, str, dict[str, Any]], None]
    publish: Callable[[Observed, L | None], None]
    drained: Callable[[str], Awaitable[None]]
    """Returns when no call to the server is in flight any more."""
    busy: Callable[[str], bool]
    drained_at: Callable[[str, int], Awaitable[None]]
    """Returns when no call is at this instance, by its number, of a server that has several."""
    busy_at: Callable[[str, int], bool]
    slots: StartSlots
    policies: Policies
    ids: Ids
    clock: Clock
    chance: Callable[[], float]

    @property
    def spawns(self) -> bool:
        return Capability.SPAWNS in self.driver.capabilities

    def tail(self, server: str) -> tuple[str, ...]:
        """The last lines of its log."""
        return tuple(self.driver.logs(server, TAIL_LINES))


class HopelessStart(Exception):
    """A verdict that travels; `error` says what is wrong with the spec."""

    def __init__(self, error: GarrisonError) -> None:
        super().__init__(error.message)
        self.error = error


async def start_instance(means: Means[L], spec: ServerSpec) -> Instance:
    """Raises `HopelessStart` when the spec is at fault, any other `GarrisonError` when the world is."""
    try:
        return await means.driver.start(means.resolve(spec), means.ids.new())
    except HOPELESS as error:
        raise HopelessStart(error) from error


async def shake_hands(means: Means[L], instance: Instance, link: L) -> None:
    """Open the connection. A process that ended meanwhile is a better explanation than a broken pipe."""
    limit = instance.spec.startup_timeout_s
    broke: list[str] = []
    link.on_closed(broke.append)
    try:
        await link.open(limit if means.spawns else min(limit, REMOTE_OPEN_S_MAX))
    except GarrisonError as error:
        exit_ = await _exit_of(means, instance) if broke else None
        if exit_ is None:
            raise
        raise failures.exited_early(instance.server, exit_, means.tail(instance.server)) from error


async def until_it_ends(means: Means[L], instance: Instance, link: L, gone: Callable[[], None]) -> GarrisonError:
    """Whatever comes first: its process ends, the connection breaks, it answers no pings. `gone` is called at once,
    the error that explains it may take a second longer."""
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    link.on_closed(lambda reason: None if closed.done() else closed.set_result(reason))
    ending = asyncio.ensure_future(means.driver.wait(instance))
    health = asyncio.ensure_future(
        until_unhealthy(link, means.policies.health, lambda: means.busy(instance.server)),
    )
    try:
        first: set[asyncio.Future[Any]] = {closed, ending, health}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        gone()
        if health.done():
            reason = health.result()
        else:
            exit_ = await _exit_of(means, instance)
            reason = exit_.reason if exit_ is not None else f"lost its connection: {closed.result()}"
    finally:
        ending.cancel()
        health.cancel()
        await asyncio.gather(ending, health, return_exceptions=True)
    hint = failures.log_hint(means.tail(instance.server))
    return Unavailable("server.ended", f"server {instance.server} {reason}", hint)


async def _exit_of(means: Means[L], instance: Instance) -> Exit | None:
    """How its process ended, if it did."""
    if not means.spawns:
        return None
    try:
        return await in_time(means.driver.wait(instance), EXIT_REPORT_S)
    except TimeoutError:
        return None
