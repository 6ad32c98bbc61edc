"""What the supervisor needs of a connection, and the health check on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from garrison.kernel.errors import GarrisonError


class Handshake(Protocol):
    """What the handshake found out."""

    @property
    def era(self) -> str: ...

    @property
    def version(self) -> str: ...


class Link(Protocol):
    """The supervisor's view of `garrison.protocol.connection.Connection`."""

    @property
    def info(self) -> Handshake: ...

    async def open(self, timeout_s: float) -> None:
        """Shake hands; raises a `GarrisonError`."""
        ...

    async def ping(self, timeout_s: float) -> None:
        """A sign of life on this very connection, never a second handshake; raises a `GarrisonError`."""
        ...

    async def close(self) -> None: ...

    def on_closed(self, callback: Callable[[str], None]) -> None:
        """Call back once, with the reason, when the connection ends."""
        ...


@dataclass(frozen=True)
class HealthPolicy:
    interval_s: float = 10.0
    timeout_s: float = 5.0
    failures_max: int = 3


async def until_unhealthy(link: Link, policy: HealthPolicy, busy: Callable[[], bool]) -> str:
    """Ping now and then; return the reason once `failures_max` pings in a row stayed unanswered.

    Many servers do one thing at a time and answer no ping during a call. While it is `busy`, silence is not held
    against it: the calls have deadlines of their own.
    """
    failures = 0
    while failures < policy.failures_max:
        await asyncio.sleep(policy.interval_s)
        try:
            await link.ping(policy.timeout_s)
            failures = 0
        except GarrisonError:
            failures += 0 if busy() else 1
    return f"did not answer {failures} pings in a row"
