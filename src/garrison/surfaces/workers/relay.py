"""One other worker's way to one server behind pipes: a line in, a frame to the server, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from itertools import count
from typing import Any, Protocol, cast

import msgspec
from msgspec import UNSET, Raw

from garrison.gateway.refusals import rpc_error
from garrison.kernel.errors import GarrisonError, Invalid
from garrison.protocol import methods
from garrison.protocol.codes import METHOD_NOT_FOUND
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import Refused
from garrison.protocol.headers import Headers
from garrison.protocol.matching import error_of
from garrison.protocol.messages import (
    EMPTY,
    Message,
    RpcError,
    decode_any,
    decode_message,
    error_frame,
    notification_frame,
    params_of,
    raw,
    result_frame,
    text,
)
from garrison.protocol.question import Question
from garrison.protocol.transports.stdio import one_line
from garrison.runtimes.relaying import LEAVING, Given, Wanted


class Owner(Protocol):
    """What all relays have in common (`relays.Relays`)."""

    def added(self, relay: Relay) -> int: ...

    def removed(self, relay: Relay) -> None: ...

    async def find(self, relay: Relay, *, patient: bool) -> tuple[int, int, Connection]: ...

    def listen(self, relay: Relay, connection: Connection) -> None: ...

    async def dial(self, server: str, capabilities: Mapping[str, Any]) -> Connection: ...

    async def subscribe(self, relay: Relay, uri: str) -> None: ...

    def unsubscribe(self, relay: Relay, uri: str) -> None: ...

    def wish(self, relay: Relay, level: str) -> None: ...


class Relay(asyncio.Protocol):
    """`connection` is the server's; `number` the instance's. Closed when either side is gone."""

    def __init__(self, owner: Owner) -> None:
        self.server = ""
        self.worker = 0
        self.number = 0
        self.is_own = False
        self.first_id = 0
        self.connection: Connection | None = None
        self.ended = asyncio.Event()
        self.subscribed: set[str] = set()
        self._owner = owner
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._pending: dict[int, bool] = {}
        """Requests without an answer; whether somebody waits for it, as nobody does for a subscription's."""
        self._questions: dict[int, Question] = {}
        self._question_ids = count(1)
        self._left = False
        self._work: set[asyncio.Future[None]] = set()

    @property
    def is_busy(self) -> bool:
        return any(self._pending.values())

    # ── the worker's side ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        if b"\n" not in data:
            self._parts.append(data)
            return
        first, *lines = data.split(b"\n")
        self._parts.append(first)
        whole, rest = b"".join(self._parts), lines.pop()
        self._parts = [rest] if rest else []
        for line in (whole, *lines):
            self._take(line)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end()

    def write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(one_line(frame) + b"\n")

    def leave(self) -> None:
        """The instance is about to be ended: the worker finishes what is in flight, then hangs up."""
        if not self._left and not self.is_own:
            self._left = True
            self.write(LEAVING)

    def close(self) -> None:
        """What is written still arrives."""
        if self._transport is not None:
            self._transport.close()
        self._end()

    def _end(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        self._owner.removed(self)
        for work in self._work:
            work.cancel()
        for question in self._questions.values():
            question.refuse()
        connection = self.connection
        if connection is not None:
            for request_id in tuple(self._pending):
                connection.cancel(request_id, "the worker went away")
            if self.is_own:
                self._spawn(connection.close())
        self._pending.clear()

    # ── lines ──

    def _take(self, line: bytes) -> None:
        if not self.worker:
            self._begin(msgspec.json.decode(line, type=Wanted))
            return
        message = decode_message(line)
        if message.method is UNSET:
            self._answered(message)
        elif not isinstance(message.id, int):
            self._notified(message)
        elif message.method not in _HANDLED or not self._handle(message.id, message):
            self._ask(message.id, line, waits=message.method != methods.LISTEN)

    def _begin(self, wanted: Wanted) -> None:
        self.worker, self.server, self.is_own = wanted.worker, wanted.server, wanted.is_own
        self.first_id = self._owner.added(self)
        if self.is_own:
            self._give(pid=0)
        else:
            self._spawn(self._find(patient=wanted.is_patient))

    async def _find(self, *, patient: bool) -> None:
        try:
            self.number, pid, connection = await self._owner.find(self, patient=patient)
        except GarrisonError as error:
            self.write(msgspec.json.encode(Given(error=error.message, hint=error.hint)))
            self.close()
            return
        self.connection = connection
        self._owner.listen(self, connection)
        self._give(pid)

    def _give(self, pid: int) -> None:
        self.write(msgspec.json.encode(Given(self.first_id, pid)))

    def _ask(self, request_id: int, line: bytes, *, waits: bool) -> None:
        assert self.connection is not None
        self._pending[request_id] = waits
        self.connection.send(request_id, line, _Back(self, request_id), Headers())

    def _notified(self, message: Message) -> None:
        if self.connection is None or message.method == methods.INITIALIZED:
            return
        params = params_of(message)
        if message.method == methods.CANCELLED and "requestId" in params:
            found = decode_any(params["requestId"])
            if isinstance(found, int) and found in self._pending:
                del self._pending[found]
                self.connection.cancel(found, text(params, "reason") or "cancelled")
            return
        assert message.method is not UNSET
        self.connection.notify(message.method, params)

    def _answered(self, message: Message) -> None:
        question = self._questions.pop(message.id, None) if isinstance(message.id, int) else None
        if question is None:
            return
        if message.error is not UNSET:
            question.refuse(error_of(message.error))
        elif message.result is not UNSET:
            question.answer(message.result.copy())

    # ── what is answered here ──

    def _handle(self, request_id: int, message: Message) -> bool:
        """Whether it was a request that does not go to the server."""
        params, connection = params_of(message), self.connection
        if message.method == methods.INITIALIZE:
            self._answer_with(request_id, self._initialize(params.get("capabilities", EMPTY)))
        elif connection is None:
            self.write(error_frame(b"%d" % request_id, RpcError(METHOD_NOT_FOUND, "not before initialize")))
        elif message.method == methods.DISCOVER and connection.info.era == "legacy":
            self.write(error_frame(b"%d" % request_id, RpcError(METHOD_NOT_FOUND, "of the legacy era")))
        elif message.method == methods.DISCOVER:
            self.result(request_id, raw(_discovered(connection)))
        elif message.method == methods.PING:
            self.result(request_id, EMPTY)
        elif self.is_own or connection.info.era == "modern":
            return False
        elif message.method == methods.SET_LEVEL:
            self._owner.wish(self, text(params, "level"))
            self.result(request_id, EMPTY)
        elif message.method == methods.SUBSCRIBE:
            self._answer_with(request_id, self._subscribe(text(params, "uri")))
        else:
            self._owner.unsubscribe(self, text(params, "uri"))
            self.result(request_id, EMPTY)
        return True

    async def _initialize(self, capabilities: Raw) -> Raw:
        if self.is_own and self.connection is None:
            able = decode_any(capabilities)
            self._own(await self._owner.dial(self.server, able if isinstance(able, dict) else {}))
        connection = self.connection
        if connection is None or connection.info.era != "legacy":
            raise Invalid("relay.era", f"server {self.server} is of the modern era")
        info = connection.info
        said: dict[str, Any] = {
            "protocolVersion": info.version,
            "capabilities": info.capabilities,
            "serverInfo": info.server,
            "instructions": info.instructions,
        }
        return raw(said)

    def _own(self, connection: Connection) -> None:
        self.connection = connection
        connection.on_message(lambda message: self.say(message))
        connection.on_question(self.question)
        connection.on_closed(lambda reason: self.close())
        if self.ended.is_set():
            self._spawn(connection.close())

    async def _subscribe(self, uri: str) -> Raw:
        await self._owner.subscribe(self, uri)
        return EMPTY

    def _answer_with(self, request_id: int, work: Awaitable[Raw]) -> None:
        async def answer() -> None:
            try:
                self.result(request_id, await work)
            except Refused as refused:
                self.write(error_frame(b"%d" % request_id, refused.error))
            except GarrisonError as error:
                self.write(error_frame(b"%d" % request_id, rpc_error(error)))

        self._spawn(answer())

    # ── the server's side ──

    def say(self, message: Message) -> None:
        if message.method is not UNSET:
            self.write(notification_frame(message.method, None if message.params is UNSET else message.params))

    def question(self, question: Question) -> None:
        number = next(self._question_ids)
        self._questions[number] = question
        head = b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":' % (number, msgspec.json.encode(question.method))
        self.write(head + bytes(question.params) + b"}")

    def result(self, request_id: int, result: Raw) -> None:
        self._pending.pop(request_id, None)
        self.write(result_frame(b"%d" % request_id, result))

    def error(self, request_id: int, error: RpcError) -> None:
        self._pending.pop(request_id, None)
        self.write(error_frame(b"%d" % request_id, error))

    def failed(self, request_id: int) -> None:
        """On pipes that is their end, which the worker sees for itself."""
        self._pending.pop(request_id, None)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


_HANDLED = frozenset(
    {
        methods.INITIALIZE,
        methods.DISCOVER,
        methods.PING,
        methods.SET_LEVEL,
        methods.SUBSCRIBE,
        methods.UNSUBSCRIBE,
    }
)


def _discovered(connection: Connection) -> dict[str, Any]:
    info = connection.info
    return {
        "supportedVersions": [info.version],
        "capabilities": info.capabilities,
        "instructions": info.instructions,
        "_meta": {methods.META_SERVER_INFO: info.server},
    }


class _Back:
    """What comes back for one request."""

    __slots__ = ("_id", "_relay")

    def __init__(self, relay: Relay, request_id: int) -> None:
        self._relay = relay
        self._id = request_id

    def message(self, message: Message) -> None:
        self._relay.say(message)

    def streaming(self) -> None:
        """Pipes know no streams."""

    def question(self, question: Question) -> None:
        self._relay.question(question)

    def result(self, result: Raw) -> None:
        self._relay.result(self._id, result)

    def error(self, error: RpcError) -> None:
        self._relay.error(self._id, error)

    def failed(self, error: GarrisonError) -> None:
        self._relay.failed(self._id)
