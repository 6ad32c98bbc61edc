"""A server that has lost our session gets another handshake, once, and the requests that it refused for that again.

A legacy server answers 404 to a session that it does not know, and its client begins another one (2025-11-25,
transports, session management). The refusal says that nothing was done, so nothing can happen twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from garrison.kernel.errors import GarrisonError, Unavailable
from garrison.protocol import codes
from garrison.protocol.messages import decode_error, decode_message, encode

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection

AGAIN_S = 5.0
"""A session that is lost again sooner is not renewed: such a server keeps none."""
_SESSION = re.compile(rb"\r\nmcp-session-id: ([\x21-\x7e]+)\r\n")
_LOST = re.compile(
    r"\bsession\b.*\b(not found|unknown|invalid|expired|terminated|closed|does not exist|not exist|ended)\b"
    r"|\b(no valid|invalid|unknown|expired|no such) session\b",
    re.IGNORECASE,
)
ENDED = "its session has ended"


class Renewals:
    """Of one transport. `waiting`: requests that wait for another session; None while there is nothing to wait for.

    `renew` shakes hands again and raises as a handshake does, `send` sends a request in the present session.
    """

    def __init__(self, renew: Callable[[], Awaitable[None]], send: Callable[[int, bytes], None]) -> None:
        self.waiting: dict[int, bytes] | None = None
        self._renew = renew
        self._send = send
        self._sent_again: set[int] = set()
        self._began_s = -AGAIN_S
        self._task: asyncio.Task[None] | None = None

    def lost(self, connection: Connection, request_id: int | None, frame: bytes, *, present: bool) -> None:
        """A request was refused for its session; `present`: this session is the last that we know."""
        if self.waiting is None and present:
            now = asyncio.get_running_loop().time()
            if now - self._began_s < AGAIN_S:
                self._give_up(connection, {} if request_id is None else {request_id: frame}, "and has lost it again")
                return
            self._began_s, self.waiting = now, {}
            self._task = asyncio.ensure_future(self._run(connection))
        if request_id is None or not connection.owes(request_id):
            return  # a notification that is lost with its session is of no use in another
        if request_id in self._sent_again:
            connection.failed(request_id, _session_lost(connection.label, "and has lost it again"))
        elif self.waiting is not None:
            self.waiting[request_id] = frame
        else:
            self._again(request_id, frame)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, connection: Connection) -> None:
        try:
            await self._renew()
        except GarrisonError as error:
            waiting, self.waiting = self.waiting or {}, None
            self._give_up(connection, waiting, f"and gives us no other: {error.message}")
            return
        waiting, self.waiting = self.waiting or {}, None
        self._sent_again = {request_id for request_id in self._sent_again if connection.owes(request_id)}
        for request_id, frame in waiting.items():
            if connection.owes(request_id):
                self._again(request_id, frame)

    def _again(self, request_id: int, frame: bytes) -> None:
        self._sent_again.add(request_id)
        self._send(request_id, frame)

    def _give_up(self, connection: Connection, waiting: dict[int, bytes], why: str) -> None:
        for request_id in waiting:
            connection.failed(request_id, _session_lost(connection.label, why))
        connection.lost(ENDED)


def _session_lost(label: str, why: str) -> Unavailable:
    message = f"server {label} has ended its session {why}"
    return Unavailable("server.session_lost", message, "nothing was done; try again in a moment")


def session_of(request: bytes) -> str:
    """The session that a request as it was sent belongs to; empty for none."""
    found = _SESSION.search(request, 0, request.find(b"\r\n\r\n") + 2)
    return found[1].decode() if found is not None else ""


def body_of(request: bytes) -> bytes:
    return request[request.find(b"\r\n\r\n") + 4 :]


def says_session_lost(status: int, body: bytes, request_id: int | None) -> bool:
    """Whether a refused request's session is the reason.

    404 says so by the standard, unless its error answers this very request with something else. Some servers say 400
    instead; that counts where an error about no request in particular says that the session is not there.
    """
    if status not in (404, 400):
        return False
    try:
        message = decode_message(body)
        error = decode_error(message.error) if message.error is not UNSET else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return status == 404
    answers = message.id is not UNSET and request_id is not None and encode(message.id) == b"%d" % request_id
    if status == 404:
        return error is None or not (answers and error.code == codes.METHOD_NOT_FOUND)
    return error is not None and not answers and _LOST.search(error.message) is not None
