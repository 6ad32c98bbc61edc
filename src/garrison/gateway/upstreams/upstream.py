"""One server as the gateway sees it: its live connection and the last good lists of what it offers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec
from msgspec import UNSET, Raw

from garrison.catalog.spec import ServerSpec
from garrison.gateway.upstreams.definition import Definition, definitions
from garrison.kernel.errors import GarrisonError, Invalid, Unavailable
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, Params, RpcError, decode_any, members, raw
from garrison.protocol.question import Question

PAGES_MAX = 100
ITEMS_MAX = 10_000
LIST_TIMEOUT_S = 30.0
LISTEN_AGAIN_S = 1.0

log = logging.getLogger("garrison.gateway")


class Upstream:
    """Lists outlive the connection: a server that is away keeps its place in the aggregate until it is removed.

    `changed(server, notification method)` is called when a list has changed, `heard(server, message)` with what the
    server says unasked.
    """

    def __init__(
        self, spec: ServerSpec, changed: Callable[[str, str], None], heard: Callable[[str, Message], None]
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.connection: Connection | None = None
        self.lists: Mapping[str, Mapping[str, Definition]] = {method: {} for method in methods.LIST_MEMBER}
        self.problem = "it has not started yet"
        self.hint = ""
        self.listed = False
        """Whether the lists were fetched at least once."""
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._changed = changed
        self._tell = heard
        self._refreshing: asyncio.Task[None] | None = None
        self._stale: set[str] = set()
        self.refuses_legacy = False
        """A modern server that was asked for a legacy connection too, and would not."""
        self._told: set[str] = set()
        """Lists that the server said have changed: that is passed on, even where we see no difference."""

    @property
    def tools(self) -> Mapping[str, Definition]:
        return self.lists[methods.TOOLS_LIST]

    def connected(self, connection: Connection) -> None:
        """A new instance is ready: use it and read its lists."""
        self.connection = connection
        self.problem = self.hint = ""
        self.refuses_legacy = False
        connection.on_message(self._heard)
        self._subscribe(connection)
        self.refresh(methods.LIST_MEMBER)

    def lost(self, problem: str, hint: str) -> None:
        """No instance serves; `problem` says why."""
        self.connection = None
        self.problem, self.hint = problem, hint

    def live(self) -> Connection:
        """The connection to send to. Raises `Unavailable`, naming the server and why."""
        connection = self.connection
        if connection is None or connection.closed is not None:
            why = self.problem or "its connection has just ended"
            message = f"server {self.name} is not available: {why}"
            raise Unavailable("server.unavailable", message, self.hint or "try again in a moment")
        return connection

    def refresh(self, stale: Mapping[str, object] | tuple[str, ...]) -> None:
        """Read these lists again, in the background, one reader at a time."""
        self._stale.update(stale)
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    @property
    def in_flight(self) -> int:
        """Calls without an answer yet."""
        return self._in_flight

    def entered(self) -> None:
        self._in_flight += 1
        if self._in_flight == 1:
            self._idle.clear()

    def left(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until no call is in flight."""
        await self._idle.wait()

    async def settled(self) -> None:
        """Wait until the lists are read, or reading them has failed."""
        while self._refreshing is not None and not self._refreshing.done():
            await asyncio.wait({self._refreshing})

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    async def _refresh(self) -> None:
        while self._stale and self.connection is not None:
            connection, method = self.connection, self._stale.pop()
            try:
                await self._read(connection, method)
            except GarrisonError as error:
                # The last good list is served on; a server that fails to list is not emptied.
                log.warning("a list was not read", extra={"server": self.name, "method": method, "why": error.message})
                if method == methods.TOOLS_LIST:
                    self.problem = error.message
        self.listed = True

    async def _read(self, connection: Connection, method: str) -> None:
        items = (
            await fetch(connection, method) if methods.LIST_CAPABILITY[method] in connection.info.capabilities else []
        )
        found = definitions(self.name, method, items, self.spec.tools)
        before = self.lists[method]
        self.lists = {**self.lists, method: found}
        told = method in self._told
        self._told.discard(method)
        differs = [each.content for each in before.values()] != [each.content for each in found.values()]
        if told or (self.listed and differs):
            self._changed(self.name, _NOTIFICATION[method])

    def _heard(self, message: Message) -> None:
        self._tell(self.name, message)
        if message.method is not UNSET and message.method in methods.LIST_CHANGED:
            self._told.update(methods.LIST_CHANGED[message.method])
            self.refresh(methods.LIST_CHANGED[message.method])

    def _subscribe(self, connection: Connection) -> None:
        """A modern server announces changes only to who listens."""
        wanted = {
            flag: True
            for kind, flag in _LISTEN_FLAGS.items()
            if isinstance(offer := connection.info.capabilities.get(kind), dict) and offer.get("listChanged")
        }
        if connection.info.era == "modern" and wanted:
            params: Params = {"notifications": raw(wanted), "_meta": connection.own_meta()}
            ended = lambda: self._listen_again(connection)  # noqa: E731
            connection.request(connection.reserve(), methods.LISTEN, params, _Listening(self._heard, ended))

    def _listen_again(self, connection: Connection) -> None:
        """A subscription ended; as long as the connection lives, changes are wanted, and some may have been missed."""
        if connection is self.connection and connection.closed is None:
            asyncio.get_running_loop().call_later(LISTEN_AGAIN_S, self._resubscribe, connection)

    def _resubscribe(self, connection: Connection) -> None:
        if connection is self.connection and connection.closed is None:
            self._subscribe(connection)
            self.refresh(methods.LIST_MEMBER)


class _Listening:
    """The reply of a subscription: messages for as long as it lives; its end is the connection's matter."""

    def __init__(self, heard: Callable[[Message], None], ended: Callable[[], None]) -> None:
        self._heard = heard
        self._ended = ended

    def message(self, message: Message) -> None:
        self._heard(message)

    def streaming(self) -> None:
        """A subscription is nothing else."""

    def question(self, question: Question) -> None:
        question.refuse()

    def result(self, result: Raw) -> None:
        """The server ended the subscription in order."""
        self._ended()

    def error(self, error: RpcError) -> None:
        log.info("a server refused to announce changes", extra={"why": error.message[:200]})

    def failed(self, error: GarrisonError) -> None:
        """The stream broke."""
        self._ended()


async def fetch(connection: Connection, method: str) -> list[object]:
    """A whole list, all pages. Raises typed errors, `Invalid` when it does not end or is no list."""
    items: list[object] = []
    cursor: object = None
    for _ in range(PAGES_MAX):
        result = await connection.ask(method, {"cursor": cursor} if cursor is not None else {}, LIST_TIMEOUT_S)
        page = _page(connection, method, result)
        items += page[0]
        cursor = page[1]
        if cursor is None:
            return items
        if len(items) > ITEMS_MAX:
            break
    message = f"server {connection.label} has no end of {method} (over {PAGES_MAX} pages or {ITEMS_MAX} entries)"
    raise Invalid("server.endless_list", message)


def _page(connection: Connection, method: str, result: Raw) -> tuple[list[object], object]:
    try:
        parts = members(result)
        items = decode_any(parts[methods.LIST_MEMBER[method]])
        cursor = decode_any(parts["nextCursor"]) if "nextCursor" in parts else None
    except (KeyError, msgspec.MsgspecError, RecursionError):
        items, cursor = None, None
    if not isinstance(items, list):
        raise Invalid("server.bad_list", f"server {connection.label} answered {method} without a list")
    return items, cursor


_NOTIFICATION = {method: name for name, stale in methods.LIST_CHANGED.items() for method in stale}
_LISTEN_FLAGS = {
    "tools": "toolsListChanged",
    "prompts": "promptsListChanged",
    "resources": "resourcesListChanged",
}
