"""One connection's resource updates: what is wanted of it, and what its server has been asked for.

The two are brought in line one step at a time: after somebody comes or goes, after a reconnection, after a server
ended its stream. A legacy server is asked URI by URI; a modern one by one stream for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from msgspec import UNSET, Raw

from garrison.kernel.errors import GarrisonError, NotFound, Unavailable, Unsupported
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import Refused
from garrison.protocol.messages import Message, Params, RpcError, decode_any, params_of, raw
from garrison.protocol.question import Question

ASK_S = 10.0
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"

log = logging.getLogger("garrison.gateway")


@dataclass(frozen=True)
class Subscriber:
    """`uri` is the resource as its client knows it; `tell` takes what has changed, in the same spelling."""

    id: str
    uri: str
    tell: Callable[[str], None]


class Feed:
    """`connect` gives the live connection or raises why there is none; `heard` takes what a modern server says."""

    def __init__(
        self,
        server: str,
        connect: Callable[[], Awaitable[Connection]],
        heard: Callable[[Message], None],
        ended: Callable[[], None],
    ) -> None:
        self._server = server
        self._connect = connect
        self._heard = heard
        self._ended = ended
        self._wanted: dict[str, dict[str, Subscriber]] = {}
        self._refused: dict[str, GarrisonError] = {}
        self._lock = asyncio.Lock()
        self._on: Connection | None = None
        self._asked: set[str] = set()
        self._listening: _Listening | None = None

    @property
    def is_empty(self) -> bool:
        return not self._wanted

    @property
    def is_live(self) -> bool:
        """Whether the connection that was asked is still there."""
        return self._on is not None and self._on.closed is None

    async def add(self, uri: str, subscriber: Subscriber) -> None:
        """Raises why the server does not announce this resource; then nothing was added."""
        self._refused.pop(uri, None)
        self._wanted.setdefault(uri, {})[subscriber.id] = subscriber
        try:
            await self.settle()
            if uri in self._refused:
                raise self._refused.pop(uri)
        except BaseException:
            self.remove(uri, subscriber.id)
            raise

    def remove(self, uri: str, subscriber_id: str) -> None:
        """Forget one; `settle` tells the server, if it was the last."""
        subscribers = self._wanted.get(uri, {})
        subscribers.pop(subscriber_id, None)
        if not subscribers:
            self._wanted.pop(uri, None)

    def updated(self, uri: str) -> None:
        """Tell those who want to hear of it. What lies below a resource may be announced for it (2025-11-25)."""
        for wanted, subscribers in tuple(self._wanted.items()):
            if uri == wanted or uri.startswith(wanted.rstrip("/") + "/"):
                for subscriber in tuple(subscribers.values()):
                    subscriber.tell(subscriber.uri + uri[len(wanted) :])

    async def settle(self) -> None:
        """Ask the server for what is wanted and not asked for, and the reverse. Raises why it cannot be asked."""
        async with self._lock:
            if not self._wanted and not self._asked:
                return
            connection = self._on
            if connection is None or connection.closed is not None:
                connection = await self._connect()
                self._on, self._asked, self._listening = connection, set(), None
            if connection.info.era == "modern":
                await self._listen(connection)
            else:
                await self._ask(connection)

    def outdated(self) -> None:
        """What was asked for is not known to the server any more."""
        self._on, self._asked, self._listening = None, set(), None

    # ── a legacy server ──

    async def _ask(self, connection: Connection) -> None:
        for uri in [uri for uri in self._wanted if uri not in self._asked]:
            try:
                check_offered(self._server, connection)
                await connection.ask(methods.SUBSCRIBE, {"uri": uri}, ASK_S)
                self._asked.add(uri)
            except (Refused, Unsupported) as error:
                self._refused[uri] = error
        for uri in [uri for uri in self._asked if uri not in self._wanted]:
            self._asked.discard(uri)
            try:
                await connection.ask(methods.UNSUBSCRIBE, {"uri": uri}, ASK_S)
            except GarrisonError as error:  # what it announces all the same reaches nobody
                log.info("a server kept a subscription", extra={"server": self._server, "why": error.message})

    # ── a modern server ──

    async def _listen(self, connection: Connection) -> None:
        if self._asked == self._wanted.keys():
            return
        before, self._listening = self._listening, None
        wanted = sorted(self._wanted)
        honoured: set[str] = set()
        if wanted:
            check_offered(self._server, connection)
            honoured = await self._open(connection, wanted)
        if before is not None:
            connection.cancel(before.request_id)
        self._asked = honoured
        for uri in set(wanted) - honoured:
            self._refused[uri] = NotFound("resource.not_announced", f"server {self._server} does not announce {uri}")

    async def _open(self, connection: Connection, wanted: list[str]) -> set[str]:
        listening = self._listening = _Listening(connection.reserve(), self._heard, self._over)
        notifications = {"resourceSubscriptions": wanted}
        params: Params = {"notifications": raw(notifications), "_meta": connection.own_meta()}
        connection.request(listening.request_id, methods.LISTEN, params, listening)
        try:
            async with asyncio.timeout(ASK_S):
                return await listening.acknowledged
        except TimeoutError:
            connection.cancel(listening.request_id)
            why = f"server {self._server} did not acknowledge a subscription within {ASK_S:g} s"
            raise Unavailable("server.unavailable", why) from None

    def _over(self, listening: _Listening) -> None:
        """The server ended the stream, or it broke; one that we ended ourselves says nothing any more."""
        if listening is self._listening:
            self.outdated()
            self._ended()


class _Listening:
    """The reply of one `subscriptions/listen`."""

    def __init__(self, request_id: int, heard: Callable[[Message], None], over: Callable[[_Listening], None]) -> None:
        self.request_id = request_id
        self.acknowledged: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
        self._heard = heard
        self._over = over

    def message(self, message: Message) -> None:
        if message.method != _ACKNOWLEDGED:
            self._heard(message)
        elif not self.acknowledged.done():
            self.acknowledged.set_result(_honoured(message))

    def streaming(self) -> None:
        """It is nothing else."""

    def question(self, question: Question) -> None:
        question.refuse()

    def result(self, result: Raw) -> None:
        self._end(Unavailable("server.subscription_ended", "the server ended the subscription"))

    def error(self, error: RpcError) -> None:
        self._end(Refused("", error))

    def failed(self, error: GarrisonError) -> None:
        self._end(error)

    def _end(self, error: GarrisonError) -> None:
        if self.acknowledged.done():
            self._over(self)
        else:
            self.acknowledged.set_exception(error)


def check_offered(server: str, connection: Connection) -> None:
    """Raises `Unsupported` where the server does not say that its resources can be subscribed to."""
    offer = connection.info.capabilities.get("resources")
    if not (isinstance(offer, dict) and offer.get("subscribe")):
        raise Unsupported("server.no_subscriptions", f"server {server} does not offer subscriptions to resources")


def _honoured(message: Message) -> set[str]:
    try:
        found = decode_any(params_of(message)["notifications"]) if message.params is not UNSET else {}
    except (KeyError, msgspec.MsgspecError, RecursionError):
        return set()
    uris = found.get("resourceSubscriptions") if isinstance(found, dict) else None
    return {uri for uri in uris if isinstance(uri, str)} if isinstance(uris, list) else set()
