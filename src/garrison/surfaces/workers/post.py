"""A worker's place among the others: where it is reached, and its lines to each of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from garrison.gateway.call import HttpRequest, Sink
from garrison.gateway.worker import Worker
from garrison.kernel.errors import Unavailable
from garrison.kernel.waiting import in_time
from garrison.surfaces.workers import sockets
from garrison.surfaces.workers.lines import AskingLine, Host, ServingLine, give_up

PATIENCE_S = 5.0
"""How long a request waits for a worker that is being started again."""
AGAIN_S = 0.05


class Post:
    """Lines are dialled when they are needed, and kept."""

    def __init__(self, run: Path, worker: Worker, host: Host) -> None:
        self._run = run
        self._worker = worker
        self._host = host
        self._lines: dict[int, AskingLine] = {}
        self._dialling: dict[int, asyncio.Task[AskingLine]] = {}
        self._serving: set[ServingLine] = set()
        self._server: asyncio.Server | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._given_up: set[int] = set()

    async def open(self) -> None:
        """Be reached by the others."""
        listener = sockets.listen(sockets.worker_socket(self._run, self._worker.number))
        self._server = await asyncio.get_running_loop().create_unix_server(self._answering, sock=listener)

    async def close(self) -> None:
        for task in (*self._dialling.values(), *self._work):
            task.cancel()
        if self._server is not None:
            self._server.close()
        for line in (*self._lines.values(), *self._serving):
            line.close()
        sockets.worker_socket(self._run, self._worker.number).unlink(missing_ok=True)

    def others(self) -> list[int]:
        return [number for number in range(1, self._worker.count + 1) if number != self._worker.number]

    def waiting(self) -> int:
        """Requests of clients here that are at other workers."""
        return len(self._work) + sum(line.waiting for line in self._lines.values())

    def ask(self, number: int, request: HttpRequest, sink: Sink) -> None:
        """Have another worker serve a client's request."""
        line = self._lines.get(number)
        if line is not None and line.is_open:
            line.ask(request, sink)
            return
        if number in self._given_up:
            self._host.serve(request, sink)
            return
        task = asyncio.ensure_future(self._ask_later(number, request, sink))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def order(self, number: int, name: str, detail: Any = None, timeout_s: float = 10.0) -> Any:
        """Have another worker do something. Raises `Unavailable`, or TimeoutError."""
        line = await self.line(number)
        return await in_time(line.order(name, detail), timeout_s)

    def give_up(self, number: int) -> None:
        """This worker will not come back: what would have been its own is served here."""
        self._given_up.add(number)

    def tell(self, topic: str, detail: Any) -> None:
        """For all others that are reached; those that are not are dialled, for the next time."""
        for number in self.others():
            line = self._lines.get(number)
            if line is not None and line.is_open:
                line.tell(topic, detail)
            else:
                self._start_dialling(number, PATIENCE_S)

    async def line(self, number: int, patience_s: float = PATIENCE_S) -> AskingLine:
        """The line to a worker. Raises `Unavailable` when it is not reached in time."""
        line = self._lines.get(number)
        if line is not None and line.is_open:
            return line
        return await asyncio.shield(self._start_dialling(number, patience_s))

    def _start_dialling(self, number: int, patience_s: float) -> asyncio.Task[AskingLine]:
        dialling = self._dialling.get(number)
        if dialling is None:
            dialling = self._dialling[number] = asyncio.ensure_future(self._dial(number, patience_s))
            dialling.add_done_callback(lambda done: self._dialled(number, done))
        return dialling

    def _dialled(self, number: int, done: asyncio.Task[AskingLine]) -> None:
        del self._dialling[number]
        if not done.cancelled():
            done.exception()  # whoever waits for it raises it; often nobody does

    async def _dial(self, number: int, patience_s: float) -> AskingLine:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        path = sockets.worker_socket(self._run, number)
        while True:
            try:
                line = await sockets.dial(path, lambda: AskingLine(self._worker.number, self._forget))
            except OSError as error:
                if loop.time() > deadline:
                    message = f"worker {number} is not there"
                    raise Unavailable("worker.away", message, "it is being started again; try again") from error
                await asyncio.sleep(AGAIN_S)
            else:
                self._lines[number] = line
                return line

    async def _ask_later(self, number: int, request: HttpRequest, sink: Sink) -> None:
        try:
            line = await self.line(number)
        except Unavailable as error:
            give_up(sink, bytes(request.body), error)
        else:
            line.ask(request, sink)

    def _forget(self, line: AskingLine) -> None:
        self._lines = {number: one for number, one in self._lines.items() if one is not line}

    def _answering(self) -> ServingLine:
        return _Counted(self._host, self._serving)


class _Counted(ServingLine):
    """Known to the post as long as it lasts."""

    def __init__(self, host: Host, among: set[ServingLine]) -> None:
        super().__init__(host)
        self._among = among

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._among.add(self)

    def lost(self) -> None:
        self._among.discard(self)
        super().lost()
