"""connect: a lazy server is started, a client that needs a connection of its own gets it; the call waits for both."""

from __future__ import annotations

from msgspec import UNSET, Raw

from garrison.gateway import routing
from garrison.gateway.backchannel import BackChannel
from garrison.gateway.call import Call, Outcome
from garrison.gateway.stage import Stage, Step
from garrison.gateway.streams import Streams
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections, Owner, Ready
from garrison.gateway.upstreams.upstream import Upstream
from garrison.kernel.errors import GarrisonError, Limited
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, RpcError, notification_frame
from garrison.protocol.question import Question


class Connect(Stage):
    name = "connect"
    needs = frozenset({"target", "decision"})
    gives = frozenset({"connected"})

    def __init__(self, directory: Directory, own: OwnConnections, streams: Streams, back_channel: BackChannel) -> None:
        self._directory = directory
        self._own = own
        self._streams = streams
        self._back_channel = back_channel

    def enter(self, call: Call) -> Step:
        upstream = call.upstream
        if upstream is None:
            return None
        if upstream.connection is None and upstream.spec.start == "lazy":
            return self._wake(call, upstream)
        if call.owner is not None:
            call.connection = self._own.find(call.owner)
            if call.connection is None:
                return self._open(call, call.owner, upstream)
        return None

    async def _wake(self, call: Call, upstream: Upstream) -> Outcome | None:
        if self._directory.demand is not None:
            await self._directory.demand(upstream.name)
            await upstream.settled()
        call.owner = routing.owner_of(call, upstream)
        return await self._open(call, call.owner, upstream) if call.owner is not None else None

    async def _open(self, call: Call, owner: Owner, upstream: Upstream) -> Outcome | None:
        ready = self._hear_for(call.session.id, upstream) if call.session is not None else _hear_nothing
        try:
            call.connection = await self._own.open(owner, ready)
        except Limited:
            raise  # no room for one more says nothing of what the server speaks
        except GarrisonError:
            if upstream.connection is None or upstream.connection.info.era == "legacy":
                raise
            # Servers do not say whether they speak the older era too. This one does not, so the bridge has to serve.
            upstream.refuses_legacy = True
            call.owner = None
        return None

    def _hear_for(self, session_id: str, upstream: Upstream) -> Ready:
        """What the server says by itself on a session's connection goes to that session's stream."""

        def heard(message: Message) -> None:
            assert message.method is not UNSET
            if message.method in methods.LIST_CHANGED:
                upstream.refresh(methods.LIST_CHANGED[message.method])
            params = None if message.params is UNSET else message.params
            self._streams.send(session_id, notification_frame(message.method, params))

        def asked(question: Question) -> None:
            def answered(answer: Raw | RpcError) -> None:
                question.settle(answer)

            def send(frame: bytes) -> bool:
                return self._streams.send(session_id, frame)

            self._back_channel.ask(session_id, (question.method, question.params), send, answered)

        def ready(connection: Connection) -> None:
            connection.on_message(heard)
            connection.on_question(asked)

        return ready


def _hear_nothing(connection: Connection) -> None:
    """A modern client hears of its own requests only."""
