"""A modern server's announcements: the reply of `subscriptions/listen`, which comes while the connection lives."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Raw

from garrison.kernel.errors import GarrisonError
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, Params, RpcError, raw
from garrison.protocol.question import Question

log = logging.getLogger("garrison.gateway")

_LISTEN_FLAGS = {
    "tools": "toolsListChanged",
    "prompts": "promptsListChanged",
    "resources": "resourcesListChanged",
}


def listen(connection: Connection, heard: Callable[[Message], None], ended: Callable[[], None]) -> None:
    """Subscribe to what a server announces: a modern one announces changes only to who listens."""
    wanted = {
        flag: True
        for kind, flag in _LISTEN_FLAGS.items()
        if isinstance(offer := connection.info.capabilities.get(kind), dict) and offer.get("listChanged")
    }
    if connection.info.era == "modern" and wanted:
        params: Params = {"notifications": raw(wanted), "_meta": connection.own_meta()}
        connection.request(connection.reserve(), methods.LISTEN, params, Listening(heard, ended))


class Listening:
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
