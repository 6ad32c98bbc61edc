"""One connection between two workers: requests one way, answers the other."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from garrison.gateway.call import HttpRequest, Sink
from garrison.gateway.heads import Head
from garrison.gateway.outbound import JSON
from garrison.gateway.refusals import rpc_error
from garrison.kernel.errors import GarrisonError, TimedOut, Unavailable
from garrison.protocol.messages import error_frame
from garrison.surfaces.workers import frames
from garrison.surfaces.workers.frames import Frame, FrameReader, HeadCopy, written

HEADS_MAX = 4096
RETRY_AFTER_S = "1"

log = logging.getLogger("garrison.workers")


class Host(Protocol):
    """What a worker does for the others."""

    def serve(self, request: HttpRequest, sink: Sink) -> None:
        """Answer a client's request, or one to the admin API."""

    async def obey(self, order: str, detail: Any) -> Any:
        """Raises `GarrisonError`."""

    def hear(self, worker: int, topic: str, detail: Any) -> None: ...

    def missed(self, worker: int) -> None:
        """The other one has gone, or at least its line."""


class _Line(asyncio.Protocol):
    """What both ends have in common."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self.take(frame)
        except msgspec.MsgspecError:
            log.exception("a worker said something that is not understood")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost()

    def send(self, frame: Frame) -> None:
        """Dropped once the line is closed: its end is told otherwise."""
        if self._transport is not None:
            self._transport.write(written(frame))

    def close(self) -> None:
        """What is written still arrives."""
        if self._transport is not None:
            self._transport.close()

    def take(self, frame: Frame) -> None:
        raise NotImplementedError

    def lost(self) -> None:
        raise NotImplementedError


class _Asked(msgspec.Struct):
    """One request that is at the other worker."""

    sink: Sink
    body: bytes
    streams: bool = False


class AskingLine(_Line):
    """The end that dialled. `ended` is told when the line is gone."""

    def __init__(self, number: int, ended: Callable[[AskingLine], None]) -> None:
        super().__init__()
        self._number = number
        self._ended = ended
        self._last_id = 0
        self._asked: dict[int, _Asked] = {}
        self._orders: dict[int, asyncio.Future[Any]] = {}
        self._heads: dict[Head, int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send(frames.Hello(self._number))

    @property
    def waiting(self) -> int:
        """Requests without a whole answer."""
        return len(self._asked)

    def ask(self, request: HttpRequest, sink: Sink) -> None:
        """Have the other worker serve a request; what comes of it goes to the sink."""
        self._last_id = ask_id = self._last_id + 1
        body = bytes(request.body)
        self._asked[ask_id] = _Asked(sink, body)
        sink.on_disconnect(lambda: self._client_left(ask_id))
        slot, fresh = self._slot(request.head)
        self.send(frames.Ask(ask_id, slot, fresh, body, request.client, request.certificate))

    async def order(self, name: str, detail: Any = None) -> Any:
        """Have something done. Raises `Unavailable`."""
        self._last_id = order_id = self._last_id + 1
        answer = self._orders[order_id] = asyncio.get_running_loop().create_future()
        self.send(frames.Order(order_id, name, detail))
        try:
            return await answer
        finally:
            self._orders.pop(order_id, None)

    def tell(self, topic: str, detail: Any) -> None:
        self.send(frames.News(topic, detail))

    def take(self, frame: Frame) -> None:
        if isinstance(frame, frames.Done):
            self._done(frame)
        elif isinstance(frame, (frames.Answer, frames.Opened, frames.Event, frames.Comment, frames.Ended)):
            asked = self._asked.get(frame.id)
            if asked is not None:
                self._pass_on(asked, frame)

    def lost(self) -> None:
        asked, self._asked = self._asked, {}
        for one in asked.values():
            give_up(one.sink, one.body, outcome_unknown(), streams=one.streams)
        for answer in self._orders.values():
            if not answer.done():
                answer.set_exception(Unavailable("worker.lost", "the worker went away"))
        self._ended(self)

    def _pass_on(self, asked: _Asked, frame: Frame) -> None:
        match frame:
            case frames.Answer():
                del self._asked[frame.id]
                asked.sink.respond(frame.status, frame.body, JSON if frame.headers == JSON else frame.headers)
            case frames.Opened():
                asked.streams = True
                asked.sink.open_stream(frame.headers)
            case frames.Event():
                asked.sink.event(frame.frame, frame.kind)
            case frames.Comment():
                asked.sink.keep_alive_comment()
            case frames.Ended():
                del self._asked[frame.id]
                asked.sink.end_stream()

    def _done(self, frame: frames.Done) -> None:
        answer = self._orders.pop(frame.id, None)
        if answer is None or answer.done():
            return
        if frame.error:
            answer.set_exception(Unavailable("worker.failed", frame.error))
        else:
            answer.set_result(frame.result)

    def _client_left(self, ask_id: int) -> None:
        if self._asked.pop(ask_id, None) is not None:
            self.send(frames.Gone(ask_id))

    def _slot(self, head: Head) -> tuple[int, HeadCopy | None]:
        """Clients repeat their heads, so each is sent once."""
        slot = self._heads.get(head)
        if slot is not None:
            return slot, None
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        slot = self._heads[head] = len(self._heads)
        return slot, HeadCopy(head.verb, head.path, dict(head.headers), head.repeated)


class ServingLine(_Line):
    """The end that was dialled."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self._worker = 0
        self._heads: OrderedDict[int, Head] = OrderedDict()
        self._sinks: dict[int, _RemoteSink] = {}
        self._work: set[asyncio.Task[None]] = set()

    def take(self, frame: Frame) -> None:
        match frame:
            case frames.Ask():
                self._serve(frame)
            case frames.Gone():
                sink = self._sinks.pop(frame.id, None)
                if sink is not None:
                    sink.left()
            case frames.News():
                self._host.hear(self._worker, frame.topic, frame.detail)
            case frames.Order():
                task = asyncio.ensure_future(self._obey(frame))
                self._work.add(task)
                task.add_done_callback(self._work.discard)
            case frames.Hello():
                self._worker = frame.number

    def lost(self) -> None:
        sinks, self._sinks = self._sinks, {}
        for sink in sinks.values():
            sink.left()
        self._host.missed(self._worker)

    def done(self, ask_id: int) -> None:
        self._sinks.pop(ask_id, None)

    def _serve(self, ask: frames.Ask) -> None:
        if ask.fresh is not None:
            copy = ask.fresh
            self._heads[ask.head] = Head(copy.verb, copy.path, copy.headers, copy.repeated)
        sink = self._sinks[ask.id] = _RemoteSink(self, ask.id)
        self._host.serve(HttpRequest(self._heads[ask.head], ask.body, ask.client, ask.certificate), sink)

    async def _obey(self, order: frames.Order) -> None:
        try:
            self.send(frames.Done(order.id, await self._host.obey(order.name, order.detail), ""))
        except GarrisonError as error:
            self.send(frames.Done(order.id, None, error.message))


class _RemoteSink:
    """Where answers go for a client that is connected to another worker."""

    def __init__(self, line: ServingLine, ask_id: int) -> None:
        self._line = line
        self._id = ask_id
        self._on_left: Callable[[], None] | None = None

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._on_left = None
        self._line.done(self._id)
        self._line.send(frames.Answer(self._id, status, bytes(body), dict(headers)))

    def open_stream(self, headers: Mapping[str, str]) -> None:
        self._line.send(frames.Opened(self._id, dict(headers)))

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        self._line.send(frames.Event(self._id, bytes(frame), kind))

    def keep_alive_comment(self) -> None:
        self._line.send(frames.Comment(self._id))

    def end_stream(self) -> None:
        self._on_left = None
        self._line.done(self._id)
        self._line.send(frames.Ended(self._id))

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        self._on_left = callback

    def left(self) -> None:
        callback, self._on_left = self._on_left, None
        if callback is not None:
            callback()


class _Numbered(msgspec.Struct):
    id: Raw | UnsetType = UNSET


def give_up(sink: Sink, body: bytes, error: GarrisonError, *, streams: bool = False) -> None:
    """Answer for a worker that cannot. What was never sent is refused with 503, as by a gateway that shuts down."""
    try:
        numbered = msgspec.json.decode(body, type=_Numbered).id
    except msgspec.MsgspecError:
        numbered = UNSET
    frame = error_frame(b"null" if isinstance(numbered, UnsetType) else bytes(numbered), rpc_error(error))
    if not streams:
        unsent = isinstance(error, Unavailable)
        sink.respond(503 if unsent else 200, frame, {**JSON, "retry-after": RETRY_AFTER_S} if unsent else JSON)
        return
    if not isinstance(numbered, UnsetType):
        sink.event(frame)
    sink.end_stream()


def outcome_unknown() -> GarrisonError:
    message = "the worker that had this request went away before it answered; whether it took effect is unknown"
    return TimedOut("worker.lost", message, "check what the call did before you repeat it")
