"""Servers that run elsewhere: there is nothing to start or to stop, only an address to connect to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import Invalid
from garrison.runtimes.driver import Capability, Exit, Inspection
from garrison.runtimes.instance import HttpEndpoint, Instance


class RemoteDriver:
    name = "remote"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self._stopped: dict[str, asyncio.Event] = {}

    async def start(self, spec: ServerSpec, instance_id: str) -> Instance:
        """Nothing happens yet: whether somebody answers there is the connection's finding."""
        if spec.transport == "stdio" or not spec.url:
            message = f"server {spec.name} has no url to connect to"
            raise Invalid("server.no_url", message, "give it a url, or a command")
        self._stopped[instance_id] = asyncio.Event()
        return Instance(instance_id, spec.name, spec, HttpEndpoint(spec.url, spec.transport, spec.headers))

    async def recover(self) -> Sequence[Instance]:
        return ()

    async def wait(self, instance: Instance) -> Exit:
        """Until we let go of it: the other side's end shows only on the connection."""
        stopped = self._stopped.get(instance.id)
        if stopped is not None:
            await stopped.wait()
        return Exit("was disconnected")

    async def stop(self, instance: Instance) -> None:
        stopped = self._stopped.pop(instance.id, None)
        if stopped is not None:
            stopped.set()

    def inspect(self, instance: Instance) -> Inspection:
        return Inspection(instance.id in self._stopped)

    def logs(self, server: str, lines: int) -> Sequence[str]:
        """Its log is elsewhere."""
        return ()
