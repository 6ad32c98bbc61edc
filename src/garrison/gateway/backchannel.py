"""Questions on their way to legacy clients: what a server asks in mid-call goes out on the client's stream, and the
client's answer, a POST of its own, finds its way back. A question is bound to its session; nobody else can answer it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from msgspec import UNSET, Raw

from garrison.gateway.call import Call
from garrison.protocol import codes
from garrison.protocol.matching import error_of
from garrison.protocol.messages import Message, RpcError, encode, members, request_frame

Answered = Callable[[Raw | RpcError], None]
"""Takes the client's result, or the error that it answered with."""

OPEN_MAX = 10_000


class BackChannel:
    """Open questions, by session and id. Bounded: beyond that, questions are refused at once."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, bytes], tuple[Call | None, Answered]] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._open)

    def ask(
        self,
        session_id: str,
        question: tuple[str, Raw],
        send: Callable[[bytes], bool],
        answered: Answered,
        call: Call | None = None,
    ) -> None:
        """Send a question (method, params); `send` says whether it could be sent. It ends when its `call` does."""
        method, params = question
        own_id = f"garrison-{next(self._numbers)}"
        if len(self._open) >= OPEN_MAX or not send(request_frame(own_id, method, members(params))):
            answered(RpcError(codes.INTERNAL_ERROR, "the client cannot be asked: it has no stream open"))
            return
        self._open[session_id, encode(own_id)] = (call, answered)

    def answered(self, session_id: str, message: Message) -> None:
        """The client posted a response; one that nobody waits for is dropped."""
        _, answered = self._open.pop((session_id, encode(message.id)), (None, None))
        if answered is None:
            return
        if message.error is not UNSET:
            answered(error_of(message.error))
        elif message.result is not UNSET:
            answered(message.result.copy())

    def forget(self, call: Call) -> None:
        """The call has ended, so nobody waits for the answers to its questions."""
        if call.session is not None:
            for key in [key for key, (asker, _) in self._open.items() if asker is call]:
                del self._open[key]
