"""What a server asks of its client in mid-call: sampling, elicitation, roots (revisions up to 2025-11-25)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET, Raw

from garrison.protocol import codes
from garrison.protocol.messages import EMPTY, Message, RpcError, encode, error_frame, result_frame


class Question:
    """Answered once, by `answer` or `refuse`; anything after that is dropped."""

    __slots__ = ("_raw_id", "_send", "method", "params")

    def __init__(self, message: Message, send: Callable[[bytes], None]) -> None:
        """`message`: a request with id and method. `send` takes the response's frame back to the server."""
        assert message.method is not UNSET
        self.method = message.method
        self.params: Raw = EMPTY if message.params is UNSET else message.params.copy()
        self._raw_id = encode(message.id)
        self._send: Callable[[bytes], None] | None = send

    def answer(self, result: Raw | bytes) -> None:
        self._respond(result_frame(self._raw_id, result))

    def refuse(self, error: RpcError | None = None) -> None:
        """Without an error: this client does not offer the method."""
        if error is None:
            error = RpcError(codes.METHOD_NOT_FOUND, f"{self.method[:100]} is not offered by this client")
        self._respond(error_frame(self._raw_id, error))

    def settle(self, answer: Raw | RpcError) -> None:
        """Answer or refuse, whichever it is."""
        if isinstance(answer, RpcError):
            self.refuse(answer)
        else:
            self.answer(answer)

    def _respond(self, frame: bytes) -> None:
        send, self._send = self._send, None
        if send is not None:
            send(frame)
