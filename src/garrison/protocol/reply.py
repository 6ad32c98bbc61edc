"""What comes back for one request of ours."""

from __future__ import annotations

import asyncio
from typing import Protocol

from msgspec import Raw

from garrison.kernel.errors import GarrisonError
from garrison.protocol.handshake import Refused
from garrison.protocol.messages import Message, RpcError
from garrison.protocol.question import Question


class Reply(Protocol):
    """What comes back for one request: any number of messages, then exactly one of the three ends."""

    def message(self, message: Message) -> None:
        """A notification that belongs to the request (progress, log)."""

    def streaming(self) -> None:
        """The server answers with a stream of events."""

    def question(self, question: Question) -> None:
        """The server asks its client something because of this request; it wants to be answered or refused."""

    def result(self, result: Raw) -> None: ...

    def error(self, error: RpcError) -> None:
        """The server answered with a JSON-RPC error."""

    def failed(self, error: GarrisonError) -> None:
        """No answer will come; the outcome may be unknown."""


class Awaited:
    """A reply that fills a future."""

    def __init__(self, answer: asyncio.Future[Raw], label: str) -> None:
        self._answer = answer
        self._label = label

    def message(self, message: Message) -> None:
        """Progress of our own requests interests nobody."""

    def streaming(self) -> None:
        """How it comes is all the same here."""

    def question(self, question: Question) -> None:
        question.refuse()

    def result(self, result: Raw) -> None:
        if not self._answer.done():
            self._answer.set_result(result.copy())

    def error(self, error: RpcError) -> None:
        self.failed(Refused(self._label, error))

    def failed(self, error: GarrisonError) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)
