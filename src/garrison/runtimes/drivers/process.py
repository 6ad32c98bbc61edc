"""Servers as local processes that speak over their pipes: npx, uvx, python, node, binaries. Never through a shell."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from garrison.catalog.spec import ServerSpec
from garrison.kernel.clock import Clock, SystemClock
from garrison.runtimes import failures, strays
from garrison.runtimes.child import Child, Graces, Wiring
from garrison.runtimes.driver import Capability, Exit, Inspection
from garrison.runtimes.environment import child_environment
from garrison.runtimes.instance import ChannelFactory, Instance, LineChannel, StdioEndpoint
from garrison.runtimes.reaper import Reaper
from garrison.runtimes.serverlog import LineSplitter, ServerLog, log_path, read_tail


@dataclass(frozen=True)
class Surroundings:
    """What the driver needs of the machine: whose fleet it is, where logs go, what children inherit."""

    fleet_id: str
    logs: Path
    environment: Mapping[str, str]
    """Our own; only the allowed part is passed on."""
    extra_path: tuple[str, ...] = ()
    """Folders where launchers are looked for when the user's own PATH has none."""
    graces: Graces = field(default_factory=Graces)
    clock: Clock = field(default_factory=SystemClock)


class ProcessDriver:
    name = "process"
    capabilities = frozenset({Capability.SPAWNS, Capability.LOGS})

    def __init__(self, surroundings: Surroundings, channel: ChannelFactory, reaper: Reaper) -> None:
        self._where = surroundings
        self._channel = channel
        self._reaper = reaper
        self._children: dict[str, Child] = {}
        self._logs: dict[str, ServerLog] = {}

    async def start(self, spec: ServerSpec, instance_id: str) -> Instance:
        """Raises when the command cannot be run. A process that ends at once is no error here: `wait` tells."""
        mark = {strays.MARK: strays.mark(self._where.fleet_id, spec.name, instance_id)}
        environment = child_environment(self._where.environment, spec, mark, self._where.extra_path)
        executable = _executable(spec, environment["PATH"])
        child = Child(self._where.graces)
        log = self._log(spec.name)
        channel = self._channel(child.write, on_noise=lambda line: log.write("out", [line]))
        try:
            child.start(spec.command, executable, spec.cwd, environment, self._wiring(spec, instance_id, channel))
        except OSError as error:
            raise failures.spawn_failed(spec.name, spec.command[0], error) from error
        except ValueError as error:
            raise failures.bad_argument(spec.name, error) from error
        self._children[instance_id] = child
        self._reaper.owned.add(child.pid)
        log.remark(f"started {spec.command[0]} as process {child.pid}")
        return Instance(instance_id, spec.name, spec, StdioEndpoint(channel), child.pid)

    async def recover(self) -> Sequence[Instance]:
        """Pipes do not survive us, so nothing can be taken over: what a former life left is ended."""
        await asyncio.to_thread(strays.sweep, self._where.fleet_id)
        return ()

    async def wait(self, instance: Instance) -> Exit:
        child = self._children.get(instance.id)
        return await asyncio.shield(child.ended) if child is not None else Exit("was stopped")

    async def stop(self, instance: Instance) -> None:
        child = self._children.get(instance.id)
        if child is None:
            return
        await child.stop()
        self._children.pop(instance.id, None)
        self._reaper.owned.discard(child.pid)
        self._reaper.reap()
        self._log(instance.server).close()

    def inspect(self, instance: Instance) -> Inspection:
        child = self._children.get(instance.id)
        if child is None:
            return Inspection(False, instance.pid)
        if child.ended.done():
            return Inspection(False, instance.pid, child.ended.result())
        return Inspection(True, instance.pid)

    def logs(self, server: str, lines: int) -> Sequence[str]:
        log = self._logs.get(server)
        if log is not None and 0 < lines <= len(log.tail):
            return list(log.tail)[-lines:]
        return read_tail(log_path(self._where.logs, server), lines)

    def _log(self, server: str) -> ServerLog:
        return self._logs.setdefault(server, ServerLog(log_path(self._where.logs, server), self._where.clock))

    def _wiring(self, spec: ServerSpec, instance_id: str, channel: LineChannel) -> Wiring:
        log, stderr = self._log(spec.name), LineSplitter()

        def on_dead(exit_: Exit) -> None:
            log.write("err", stderr.flush())
            log.remark(f"the process {exit_.reason}")
            channel.connection_lost(f"its process {exit_.reason}")

        return Wiring(
            on_stdout=channel.data_received,
            on_stderr=lambda data: log.write("err", stderr.feed(data)),
            on_dead=on_dead,
            find=lambda: strays.find(self._where.fleet_id, spec.name, instance_id),
            sweep=lambda: strays.sweep(self._where.fleet_id, spec.name, instance_id),
        )


def _executable(spec: ServerSpec, path: str) -> str:
    """The full path of the program, looked up as the child would do it: its own PATH, its own folder. Raises."""
    if not spec.command:
        raise failures.no_command(spec.name)
    if spec.cwd and not Path(spec.cwd).is_dir():
        raise failures.cwd_missing(spec.name, spec.cwd)
    command = spec.command[0]
    if "/" not in command:
        found = shutil.which(command, path=path)
        if found is None:
            raise failures.command_not_found(spec.name, command)
        return str(Path(found).absolute())
    program = Path(spec.cwd or ".").absolute() / command
    if not program.exists():
        raise failures.command_not_found(spec.name, command)
    if program.is_dir() or not os.access(program, os.X_OK):
        raise failures.command_not_executable(spec.name, command)
    return str(program)
