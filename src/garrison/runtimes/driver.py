"""The driver contract: what a way of running instances must be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from garrison.catalog.spec import ServerSpec
from garrison.runtimes.instance import Instance


class Capability(StrEnum):
    SPAWNS = "spawns"
    """Starts something of ours; without it, the server lives elsewhere and is only connected to."""
    RECOVERS = "recovers"
    """Instances survive us and can be taken over again."""
    LOGS = "logs"
    STATS = "stats"
    EXEC = "exec"


@dataclass(frozen=True)
class Exit:
    """How an instance ended."""

    reason: str
    """One sentence part: `exited with code 3`, `was killed by SIGKILL`."""
    code: int | None = None
    """Exit code; negative: the signal's number; None: there was no process."""


@dataclass(frozen=True)
class Inspection:
    alive: bool
    pid: int = 0
    exit: Exit | None = None


class Driver(Protocol):
    """Starting may raise any `GarrisonError`; `Invalid`, `NotFound` and `Denied` mean that trying again is useless."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    async def start(self, spec: ServerSpec, instance_id: str) -> Instance:
        """Start one instance of a spec whose references are resolved. Whether it is ready, only a handshake tells."""
        ...

    async def recover(self) -> Sequence[Instance]:
        """Take over what a former life of ours left running; end what cannot be taken over."""
        ...

    async def wait(self, instance: Instance) -> Exit:
        """Until the instance ends by itself or is stopped; for ever where ends cannot be seen."""
        ...

    async def stop(self, instance: Instance) -> None:
        """End it and all that it started; returns when nothing of it is left. Harmless when it has ended."""
        ...

    def inspect(self, instance: Instance) -> Inspection: ...

    def logs(self, server: str, lines: int) -> Sequence[str]:
        """The last lines of a server's log, oldest first."""
        ...
