"""`logging/setLevel` of legacy clients, where one server speaks to several of them.

A shared server is told the lowest level that anybody wants; each client gets its own level and above. Whoever has a
connection of its own to a server has that server's log to itself; on a shared one the log is the server's, and goes
to those who asked for it and may use the server.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from msgspec import UNSET, Raw

from garrison.gateway.call import Call, Outcome
from garrison.gateway.circumstances import how
from garrison.gateway.endpoints import Endpoints
from garrison.gateway.levels import LEVELS, at_least, level_in
from garrison.gateway.unasked import Place, Unasked
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections
from garrison.identity.principals import Principal
from garrison.kernel.errors import GarrisonError, Invalid
from garrison.policy.authoriser import Authoriser
from garrison.policy.decision import Circumstances
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import (
    EMPTY,
    Message,
    RpcError,
    notification_frame,
    raw,
    text,
)
from garrison.protocol.question import Question

SESSIONS_MAX = 10_000
QUIET = LEVELS[-1]
"""What a shared server is told when nobody wants its log any more."""


@dataclass(frozen=True)
class _Wish:
    principal: Principal
    came: Circumstances
    endpoint: str
    level: str


class LogLevels:
    def __init__(
        self,
        directory: Directory,
        endpoints: Endpoints,
        own: OwnConnections,
        authoriser: Authoriser,
        unasked: Unasked,
    ) -> None:
        self._directory = directory
        self._endpoints = endpoints
        self._own = own
        self._authoriser = authoriser
        self._streams = unasked.streams
        self._wishes: OrderedDict[str, _Wish] = OrderedDict()
        self._elsewhere: dict[str, dict[str, str]] = {}
        self._told: dict[str, tuple[Connection, str]] = {}
        unasked.hear(methods.LOG, self._heard)
        unasked.on_ready(self._ready)
        directory.on_connected(self._tell_shared)
        directory.on_renewed(self._forgotten)

    def set_level(self, call: Call) -> Outcome:
        """From now on; servers are told, and nobody waits for them."""
        assert call.session is not None
        assert call.principal is not None
        level = text(call.params, "level")
        if level not in LEVELS:
            raise Invalid(
                "logging.unknown_level", f"there is no level {level[:40]!r}", f"known are {', '.join(LEVELS)}"
            )
        self._wishes.pop(call.session.id, None)
        self._wishes[call.session.id] = _Wish(call.principal, how(call), call.endpoint, level)
        while len(self._wishes) > SESSIONS_MAX:
            self._wishes.popitem(last=False)
        for connection in self._own.of(call.session.id):
            _tell(connection, level)
        self._tell_all()
        return Outcome(result=EMPTY)

    def wish_elsewhere(self, server: str, who: str, level: str) -> None:
        """The lowest level that another worker's clients want of a shared server; empty: none any more."""
        wishes = self._elsewhere.setdefault(server, {})
        wishes.pop(who, None)
        if level in LEVELS:
            wishes[who] = level
        self._tell_shared(server)

    def level_of(self, session_id: str) -> str:
        """What this session wants; empty where it never said."""
        wish = self._wishes.get(session_id)
        return wish.level if wish is not None else ""

    def drop(self, session_id: str) -> None:
        """A session has ended."""
        if self._wishes.pop(session_id, None) is not None:
            self._tell_all()

    # ── to the servers ──

    def _ready(self, place: Place, connection: Connection) -> None:
        connection.on_renewed(lambda: self._tell_own(place, connection))
        self._tell_own(place, connection)

    def _tell_own(self, place: Place, connection: Connection) -> None:
        level = self.level_of(place.session)
        if level:
            _tell(connection, level)

    def _tell_all(self) -> None:
        for server in self._directory.upstreams:
            self._tell_shared(server)

    def _tell_shared(self, server: str) -> None:
        upstream = self._directory.upstreams.get(server)
        connection = upstream.connection if upstream is not None else None
        if connection is None or connection.closed is not None:
            return
        wanted = self._lowest(server)
        before, told = self._told.get(server, (None, ""))
        if before is not connection:
            told = ""
        if wanted and wanted != told:
            self._told[server] = (connection, wanted)
            _tell(connection, wanted)
        elif told and not wanted:
            del self._told[server]
            _tell(connection, QUIET)

    def _forgotten(self, server: str) -> None:
        """The shared connection has another session, and its server knows no level of ours."""
        self._told.pop(server, None)
        self._tell_shared(server)

    def _lowest(self, server: str) -> str:
        wanted = [LEVELS.index(wish.level) for wish in self._wishes.values() if self._concerns(wish, server)]
        wanted += [LEVELS.index(level) for level in self._elsewhere.get(server, {}).values()]
        return LEVELS[min(wanted)] if wanted else ""

    def _concerns(self, wish: _Wish, server: str) -> bool:
        allowed = self._authoriser.decide(wish.principal, "server", server, how=wish.came).allowed
        return allowed and self._endpoints.shows(wish.endpoint, server)

    # ── to the clients ──

    def _connection(self, place: Place) -> Connection | None:
        if place.owner is None:
            return self._directory.upstreams[place.server].connection
        held = self._own.find(place.owner)
        return held.connection if held is not None else None

    def _heard(self, place: Place, message: Message) -> bool:
        """False where the session said nothing of levels: then its own server decides what it sends."""
        level = level_in(message)
        if place.session:
            wanted = self.level_of(place.session)
            return bool(wanted) and not at_least(level, wanted)
        connection = self._connection(place)
        if connection is not None and (place.owner is not None or connection.info.era == "modern"):
            _answer_wish(connection, message)
            return True
        params = None if message.params is UNSET else message.params
        frame = notification_frame(methods.LOG, params)
        for session_id, wish in tuple(self._wishes.items()):
            if at_least(level, wish.level) and self._concerns(wish, place.server):
                self._streams.send(session_id, frame)
        return True


def _answer_wish(connection: Connection, message: Message) -> None:
    """Behind pipes a request's log does not say whose it is: it is the one's that wants a log, if it is only one."""
    wishing = [reply for reply in connection.replies() if getattr(reply, "log_level", "")]  # only calls have one
    if len(wishing) == 1:
        wishing[0].message(message)


def _tell(connection: Connection, level: str) -> None:
    if connection.info.era == "legacy" and "logging" in connection.info.capabilities and connection.closed is None:
        connection.request(connection.reserve(), methods.SET_LEVEL, {"level": raw(level)}, _Told())


class _Told:
    """Nothing depends on what a server says to its level."""

    def message(self, message: Message) -> None: ...

    def streaming(self) -> None: ...

    def question(self, question: Question) -> None:
        question.refuse()

    def result(self, result: Raw) -> None: ...

    def error(self, error: RpcError) -> None: ...

    def failed(self, error: GarrisonError) -> None: ...
