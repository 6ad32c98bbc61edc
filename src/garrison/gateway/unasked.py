"""What servers say by themselves, on the shared connection or on a client's own: it finds those whom it concerns.

A kind of message that needs its own care has a hearer. Everything else that comes on a legacy session's own
connection is that session's; on the shared connection it is nobody's in particular, and goes no further.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import UNSET, Raw

from garrison.gateway.backchannel import BackChannel
from garrison.gateway.streams import Streams
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import Held, OwnConnections, Owner, Ready, mark_of
from garrison.gateway.upstreams.upstream import Upstream
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, RpcError, notification_frame
from garrison.protocol.question import Question


@dataclass(frozen=True)
class Place:
    """Where something was said: on the server's shared connection, or on `owner`'s; `session` is its legacy session."""

    server: str
    owner: Owner | None = None
    session: str = ""

    @property
    def mark(self) -> str:
        """Names the own connection; empty for the shared one."""
        return mark_of(self.owner.key) if self.owner is not None else ""


Hearer = Callable[[Place, Message], bool]
"""Says whether the message is dealt with."""


class Unasked:
    def __init__(self, directory: Directory, own: OwnConnections, streams: Streams, back_channel: BackChannel) -> None:
        self._own = own
        self.streams = streams
        self._back_channel = back_channel
        self._hearers: dict[str, Hearer] = {}
        self._on_ready: list[Callable[[Place, Connection], None]] = []
        directory.on_heard(self._hear_shared)

    def hear(self, method: str, hearer: Hearer) -> None:
        """Give this kind of notification to `hearer` first."""
        self._hearers[method] = hearer

    def on_ready(self, listener: Callable[[Place, Connection], None]) -> None:
        """Call back with each new own connection, before anything else is sent on it."""
        self._on_ready.append(listener)

    def ready(self, owner: Owner, upstream: Upstream, session_id: str) -> Ready:
        """What makes a client's new own connection heard; `session_id` is empty for a modern client's."""
        place = Place(upstream.name, owner, session_id)

        def ready(held: Held) -> None:
            connection = held.connection
            connection.on_message(lambda message: self._said(place, held, upstream, message))
            if session_id:
                connection.on_question(lambda question: self._asked(owner, session_id, question))
            for listener in self._on_ready:
                listener(place, connection)

        return ready

    def _said(self, place: Place, held: Held, upstream: Upstream, message: Message) -> None:
        if message.method in methods.LIST_CHANGED:
            if held.view is None:
                self._look(place, held, upstream, message.method)
        elif not self._hear(place, message) and place.session:
            self._pass_on(place.session, message)

    def _look(self, place: Place, held: Held, upstream: Upstream, announced: str) -> None:
        """A client's own process offers something else than the shared one: when we know what, its client hears."""

        def changed(server: str, notification: str) -> None:
            if place.session:
                self.streams.send(place.session, notification_frame(notification, None))
            else:
                self.streams.announce(server, notification)

        def read() -> None:
            if held.view is not None:
                upstream.distrust_as(held.view)

        held.view = Upstream(upstream.spec, changed, lambda server, message: None, read, upstream.pins)
        self._own.viewed(held)
        held.view.look_at(held.connection, announced)

    def _hear_shared(self, server: str, message: Message) -> None:
        self._hear(Place(server), message)

    def _hear(self, place: Place, message: Message) -> bool:
        hearer = self._hearers.get(message.method) if message.method is not UNSET else None
        return hearer is not None and hearer(place, message)

    def _pass_on(self, session_id: str, message: Message) -> None:
        assert message.method is not UNSET
        params = None if message.params is UNSET else message.params
        self.streams.send(session_id, notification_frame(message.method, params))

    def _asked(self, owner: Owner, session_id: str, question: Question) -> None:
        """A question that belongs to no call goes to the session's own stream."""
        if methods.ASKED_BY.get(question.method) not in owner.capabilities:
            question.refuse()
            return

        def answered(answer: Raw | RpcError) -> None:
            question.settle(answer)

        def send(frame: bytes) -> bool:
            return self.streams.send(session_id, frame)

        self._back_channel.ask(session_id, (question.method, question.params), send, answered)
