"""One live connection to an MCP server: handshake, requests in flight, messages that the server sends by itself.

Nothing here waits per request: `request` writes and returns; the `Reply` is called when something comes back.
A transport below carries the bytes; it reports through `received`, `failed` and `lost`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Raw

from garrison.kernel.errors import GarrisonError, TimedOut, Unavailable
from garrison.protocol import methods
from garrison.protocol.handshake import Introduction, ServerInfo, handshake_timeout, modern_meta, negotiate
from garrison.protocol.headers import Headers, encode_value
from garrison.protocol.large import LargeReply, Pieces, Valve
from garrison.protocol.matching import NULL, addressee, error_of, own_id
from garrison.protocol.messages import (
    EMPTY,
    Message,
    Params,
    decode_message,
    notification_frame,
    raw,
    request_frame,
    text,
)
from garrison.protocol.question import Question
from garrison.protocol.reply import Awaited, Reply

HEADERS_MAX = 1024
HEADER_NAME_CHARS_MAX = 256


class Transport(Protocol):
    """Carries frames to one server and calls the connection's `received`, `failed` and `lost`."""

    cancels_by_closing: bool
    """A modern request is cancelled by closing its stream; where requests share one, by a notification."""

    def bind(self, connection: Connection) -> None: ...

    def send(self, frame: bytes, request_id: int | None, headers: Headers) -> None:
        """Write one frame; `request_id` names the request that answers belong to, None where none is owed."""

    def abandon(self, request_id: int) -> None:
        """The answer to this request is no longer wanted."""

    def settled(self, info: ServerInfo) -> None:
        """The handshake is over; `info` says with what."""

    async def delivered(self) -> None:
        """Return when the notifications sent so far have arrived, or after a short while."""

    async def close(self) -> None: ...


class Connection:
    """`client` is our `clientInfo`; `label` names the server in errors; `legacy_only` leaves the era probe out.

    `capabilities` are what we declare for the client behind us; without any, whatever a server asks is refused.
    `prepare` is awaited before each handshake: what is to be shown to the server has to be there.
    """

    def __init__(
        self,
        transport: Transport,
        client: dict[str, Any],
        *,
        label: str,
        legacy_only: bool = False,
        capabilities: Mapping[str, Any] | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.info = ServerInfo(era="legacy", version="")
        self.label = label
        self.instance = 0
        """Which of its server's instances it leads to; 0 where there is but one, or it is a client's own."""
        self._transport = transport
        self._introduction = Introduction(client, dict(capabilities or {}))
        self._legacy_only = legacy_only
        self._prepare = prepare
        self._pending: dict[int, Reply] = {}
        self._headers: dict[tuple[str, str | None], Headers] = {}
        """By method and name: the same few are sent again and again."""
        self._last_id = 0
        self.closed: str | None = None
        """Why the connection ended; None while it lives. Set by `lost` alone."""
        self._on_closed: list[Callable[[str], None]] = []
        self._on_message: list[Callable[[Message], None]] = []
        self._on_renewed: list[Callable[[], None]] = []
        self._on_question: Callable[[Question], None] = Question.refuse
        transport.bind(self)

    @property
    def declared(self) -> Mapping[str, Any]:
        """The client capabilities that the server was told of."""
        return self._introduction.capabilities

    # ── requests ──

    @property
    def in_flight(self) -> int:
        """Requests without an answer."""
        return len(self._pending)

    def replies(self) -> Iterable[Reply]:
        """Whoever waits for an answer."""
        return self._pending.values()

    def owes(self, request_id: int) -> bool:
        """Whether this request has no answer yet."""
        return request_id in self._pending

    def count_from(self, first_id: int) -> None:
        """Others use the same pipes: ids begin here."""
        self._last_id = first_id

    def reserve(self) -> int:
        """The next request's id, for callers that write it into the parameters (it is the progress token too)."""
        self._last_id += 1
        return self._last_id

    def request(
        self,
        request_id: int,
        method: str,
        params: Params | None,
        reply: Reply,
        headers: Headers | None = None,
    ) -> None:
        """Send a request under a reserved id. `headers` replace those that the revision wants by default."""
        frame = request_frame(request_id, method, params)
        self.send(request_id, frame, reply, self.headers(method, params) if headers is None else headers)

    def send(self, request_id: int, frame: bytes, reply: Reply, headers: Headers) -> None:
        """The same for a request that is written already."""
        if self.closed is not None:
            reply.failed(self._never_sent(self.closed))
            return
        self._pending[request_id] = reply
        self._transport.send(frame, request_id, headers)

    def replace(self, request_id: int, reply: Reply) -> None:
        """From now on another one takes what comes for this request, if it has no answer yet."""
        if request_id in self._pending:
            self._pending[request_id] = reply

    def cancel(self, request_id: int, reason: str = "cancelled") -> None:
        """Stop waiting and tell the server; nothing more is reported for this request."""
        if self._pending.pop(request_id, None) is None:
            return
        if self.info.era == "legacy" or not self._transport.cancels_by_closing:
            self.notify(methods.CANCELLED, {"requestId": raw(request_id), "reason": raw(reason)})
        self._transport.abandon(request_id)

    def notify(self, method: str, params: Params | None = None) -> None:
        if self.closed is None:
            self._transport.send(notification_frame(method, params), None, self.headers(method, params))

    async def ask(self, method: str, params: Mapping[str, Any] | None = None, timeout_s: float = 30.0) -> Raw:
        """A request of our own, awaited. Raises the typed error; a JSON-RPC error raises `Refused`."""
        own = {key: raw(value) for key, value in (params or {}).items()}
        if self.info.era == "modern":
            own["_meta"] = self.own_meta()
        try:
            async with asyncio.timeout(timeout_s):
                return await self.ask_raw(method, own, self.headers(method, own))
        except TimeoutError:
            message = f"server {self.label} did not answer {method} within {timeout_s:g} s"
            raise TimedOut("server.timeout", message, "see its log; raise its timeout if it is only slow") from None

    def own_meta(self) -> Raw:
        """The `_meta` of our own requests to a modern server."""
        return raw(modern_meta(self.info.version, self._introduction))

    async def ask_raw(self, method: str, params: Mapping[str, Raw], headers: Headers) -> Raw:
        """A request with exactly these parameters and headers, awaited; leaving early cancels it.

        A handshake is only given up: the server must not hear of that (2025-11-25, cancellation).
        """
        answer: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        request_id = self.reserve()
        self.request(request_id, method, dict(params), Awaited(answer, self.label), headers)
        try:
            return await answer
        finally:
            if self.info.version and method != methods.INITIALIZE:
                self.cancel(request_id)
            elif self._pending.pop(request_id, None) is not None:
                self._transport.abandon(request_id)

    def headers(self, method: str, params: Params | None) -> Headers:
        """HTTP headers that the revision wants with a message; transports without headers ignore them."""
        if self.info.era == "legacy":
            return self._version_header()
        key = methods.NAME_IN_HEADER.get(method)
        name = text(params, key) if key and params else None
        return self._headers.get((method, name)) or self._modern_headers(method, name)

    def _modern_headers(self, method: str, name: str | None) -> Headers:
        found = Headers({"mcp-protocol-version": self.info.version, "mcp-method": encode_value(method)})
        if name is not None:
            found["mcp-name"] = encode_value(name)
        if len(self._headers) >= HEADERS_MAX:
            self._headers.clear()
        if len(name or "") <= HEADER_NAME_CHARS_MAX:
            self._headers[method, name] = found
        return found

    # ── life ──

    async def open(self, timeout_s: float) -> None:
        """Find out the server's era and shake hands. Raises a typed error when that fails in time."""
        await self._shake_hands(timeout_s, legacy_only=self._legacy_only)

    async def renew(self, timeout_s: float) -> None:
        """Shake hands again, for the server has lost our session. Raises as `open` does."""
        await self._shake_hands(timeout_s, legacy_only=True)
        for callback in self._on_renewed:
            callback()

    async def _shake_hands(self, timeout_s: float, *, legacy_only: bool) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                if self._prepare is not None:
                    await self._prepare()
                self.info = await negotiate(self, self._introduction, legacy_only=legacy_only)
        except TimeoutError:
            raise handshake_timeout(self.label, timeout_s) from None
        self._headers.clear()
        self._transport.settled(self.info)
        if self.info.era == "legacy":
            self.notify(methods.INITIALIZED)
            await self._transport.delivered()  # nothing may overtake it, and requests can have links of their own

    async def ping(self, timeout_s: float) -> None:
        """A sign of life on this connection, never a second handshake."""
        await self.ask(methods.DISCOVER if self.info.era == "modern" else methods.PING, timeout_s=timeout_s)

    async def close(self) -> None:
        self.lost("closed")
        await self._transport.close()

    def on_closed(self, callback: Callable[[str], None]) -> None:
        """Call back once when the connection ends; at once when it has ended."""
        if self.closed is not None:
            callback(self.closed)
        else:
            self._on_closed.append(callback)

    def on_message(self, callback: Callable[[Message], None]) -> None:
        """Call back for each notification that belongs to no request."""
        self._on_message.append(callback)

    def on_renewed(self, callback: Callable[[], None]) -> None:
        """Call back when the server had lost our session and has given us another one, which knows nothing."""
        self._on_renewed.append(callback)

    def on_question(self, callback: Callable[[Question], None]) -> None:
        """Call back for what the server asks while no request is in flight."""
        self._on_question = callback

    # ── called by the transport ──

    def received(self, data: bytes, request_id: int | None) -> None:
        """One message from the server; `request_id` is the request on whose stream it came, if there is one.

        Raises `msgspec.DecodeError`, `UnicodeDecodeError` or `RecursionError` when it is not JSON-RPC.
        """
        message = decode_message(data)
        if message.jsonrpc != "2.0":
            raise msgspec.ValidationError("no JSON-RPC 2.0 message")
        if not data.isascii():
            data.decode()  # raw parts are forwarded unread: they must be UTF-8 at least
        if self.closed is not None:
            return
        if message.method is UNSET:
            own = message.id
            if type(own) is int and request_id in (own, None) and message.error is UNSET is not message.result:
                reply = self._pending.pop(own, None)  # nearly always
                if reply is not None:
                    reply.result(message.result)
                return
            self._response(message, request_id)
        elif message.id is UNSET or message.id is None:
            self._notification(message, request_id)
        else:
            self._serve(message, request_id)

    def streaming(self, request_id: int) -> None:
        """The answer to this request comes as a stream."""
        reply = self._pending.get(request_id)
        if reply is not None:
            reply.streaming()

    def large(self, request_id: int, room_bytes: int | None, valve: Valve) -> Pieces | None:
        """Where a large result may go in pieces; None where it has to be collected."""
        reply = self._pending.get(request_id)
        return reply.large(room_bytes, valve) if isinstance(reply, LargeReply) else None

    def passed(self, request_id: int, pieces: Pieces, *, is_error: bool) -> None:
        """The result has come, all of it in pieces."""
        if self._pending.pop(request_id, None) is not None:
            pieces.end(is_error=is_error)

    def failed(self, request_id: int, error: GarrisonError) -> None:
        """This one request will get no answer."""
        reply = self._pending.pop(request_id, None)
        if reply is not None:
            reply.failed(error)

    def lost(self, reason: str) -> None:
        """The connection is gone: every request in flight fails, exactly once."""
        if self.closed is not None:
            return
        self.closed = reason
        pending, self._pending = self._pending, {}
        for reply in pending.values():
            reply.failed(outcome_unknown(self.label, reason))
        for callback in self._on_closed:
            callback(reason)

    def _response(self, message: Message, request_id: int | None) -> None:
        own = own_id(message.id, request_id)
        reply = self._pending.pop(own, None) if own is not None else None
        if reply is None:
            return  # late: cancelled or timed out
        if message.result is not UNSET and message.error in (UNSET, NULL):
            reply.result(message.result)
        elif message.error is not UNSET:
            reply.error(error_of(message.error))
        else:
            reply.failed(Unavailable("server.bad_response", f"server {self.label} sent a response without a result"))

    def _notification(self, message: Message, request_id: int | None) -> None:
        if message.method in methods.LIST_CHANGED and self.info.era == "legacy":
            request_id = None  # on whatever stream it comes, it belongs to no request
        elif request_id is None:
            request_id = addressee(message)
        reply = self._pending.get(request_id) if request_id is not None else None
        if reply is not None:
            reply.message(message)
            return
        for callback in self._on_message:
            callback(message)

    def _serve(self, message: Message, request_id: int | None) -> None:
        """The server asks. On a stream that all share, the newest request in flight is the likeliest reason."""
        question = Question(message, lambda frame: self._transport.send(frame, None, self._version_header()))
        if question.method == methods.PING:
            question.answer(EMPTY)
            return
        if not self._introduction.capabilities:
            question.refuse()
            return
        reply = self._pending.get(request_id) if request_id is not None else None
        if reply is None and request_id is None and self._pending:
            reply = next(reversed(self._pending.values()))
        if reply is not None:
            reply.question(question)
        else:
            self._on_question(question)

    def _version_header(self) -> Headers:
        found = self._headers.get(("", None))
        if found is None:
            found = Headers({"mcp-protocol-version": self.info.version} if self.info.version else {})
            self._headers["", None] = found
        return found

    def _never_sent(self, reason: str) -> GarrisonError:
        message = f"server {self.label} is not connected ({reason})"
        return Unavailable("server.gone", message, "try again in a moment")


def outcome_unknown(label: str, reason: str) -> TimedOut:
    """The failure of a request that had left when its connection broke."""
    message = f"server {label} went away before it answered ({reason}); whether the call took effect is unknown"
    return TimedOut("server.lost", message, "check what the call did before you repeat it")
