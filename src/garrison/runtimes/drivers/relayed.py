"""Servers whose processes another process of ours owns: reached through it, line by line as if through their pipes.

After the first lines (`runtimes/relaying.py`) both sides carry JSON-RPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import msgspec

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import Unavailable
from garrison.runtimes.driver import Capability, Exit, Inspection
from garrison.runtimes.instance import ChannelFactory, Instance, LineChannel, StdioEndpoint
from garrison.runtimes.relaying import LEAVING, Given, Wanted

Dial = Callable[[Callable[[], asyncio.Protocol]], Awaitable[asyncio.Protocol]]


class RelayedDriver:
    """`dial` connects; `leaving(server, pid)` is told of instances that are about to be ended."""

    name = "relayed"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(
        self,
        worker: int,
        dial: Dial,
        channel: ChannelFactory,
        leaving: Callable[[str, int], None],
        *,
        is_own: bool = False,
    ) -> None:
        self._worker = worker
        self._dial = dial
        self._channel = channel
        self._leaving = leaving
        self._is_own = is_own
        self._lines: dict[str, _Line] = {}
        self._failing: set[str] = set()
        """Servers whose failure was heard of: next we wait for them to run."""

    async def start(self, spec: ServerSpec, instance_id: str) -> Instance:
        """Raises `Unavailable`, with the server's own reason."""
        patient = spec.name in self._failing
        line = _Line(Wanted(self._worker, spec.name, self._is_own, patient))
        try:
            await self._dial(lambda: line)
            given = await line.given
        except OSError as error:
            raise Unavailable("relay.away", f"server {spec.name} is not reached: the node is away") from error
        except BaseException:
            line.close()
            raise
        if given.error:
            line.close()
            self._failing.add(spec.name)
            raise Unavailable("server.unavailable", given.error, given.hint)
        self._failing.discard(spec.name)
        return self._instance(spec, instance_id, line, given)

    def _instance(self, spec: ServerSpec, instance_id: str, line: _Line, given: Given) -> Instance:
        def noise(said: bytes) -> None:
            if said == LEAVING:
                self._leaving(spec.name, given.pid)

        channel = self._channel(line.write, on_noise=noise)
        self._lines[instance_id] = line
        line.carry(channel)
        return Instance(instance_id, spec.name, spec, StdioEndpoint(channel, given.first_id), given.pid)

    async def recover(self) -> Sequence[Instance]:
        return ()

    async def wait(self, instance: Instance) -> Exit:
        line = self._lines.get(instance.id)
        if line is not None:
            await line.ended.wait()
        return Exit("was disconnected")

    async def stop(self, instance: Instance) -> None:
        line = self._lines.pop(instance.id, None)
        if line is not None:
            line.close()

    def inspect(self, instance: Instance) -> Inspection:
        line = self._lines.get(instance.id)
        return Inspection(line is not None and not line.ended.is_set(), instance.pid)

    def logs(self, server: str, lines: int) -> Sequence[str]:
        """Its owner keeps its log."""
        return ()


class _Line(asyncio.Protocol):
    def __init__(self, wanted: Wanted) -> None:
        self.given: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self._wanted = wanted
        self._early = b""
        self._channel: LineChannel | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        made.write(msgspec.json.encode(self._wanted) + b"\n")

    def data_received(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.data_received(data)
            return
        self._early += data
        if not self.given.done() and b"\n" in self._early:
            first, _, self._early = self._early.partition(b"\n")
            self.given.set_result(msgspec.json.decode(first, type=Given))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.ended.set()
        if not self.given.done():
            self.given.set_result(Given(error="the node went away"))
        if self._channel is not None:
            self._channel.connection_lost("the node let go of it")

    def carry(self, channel: LineChannel) -> None:
        self._channel = channel
        early, self._early = self._early, b""
        if early:
            channel.data_received(early)
        if self.ended.is_set():
            channel.connection_lost("the node let go of it")

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
