"""What a transport shows to its server beside the fixed headers, and what happens when the server refuses it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from garrison.kernel.errors import GarrisonError

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection

HEADER = "authorization"
_LINE = re.compile(rb"\r\nauthorization: [^\r\n]*", re.IGNORECASE)


class Challenge(NamedTuple):
    """A refusal: the HTTP status, and what `WWW-Authenticate` says."""

    status: int
    header: str = ""


class Credential(Protocol):
    """Of one server, for one principal or for all. Errors are typed and hold no secret."""

    @property
    def line(self) -> str:
        """`authorization: …` with the line's end; empty while there is nothing to show."""
        ...

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call back when `line` is another one; what is returned ends that."""
        ...

    async def ready(self) -> None:
        """Get one if there is none that is still good. Raises why there is none."""
        ...

    def can_help(self, challenge: Challenge) -> bool:
        """Whether another one could satisfy the server."""
        ...

    async def renewed(self, shown: str, challenge: Challenge) -> None:
        """Get another one than `shown`, which was refused. Raises why there is none."""
        ...


class Showing:
    """Of one transport: requests that were refused for what they showed are sent again with something better, once.

    A refusal says that nothing was done. `send` sends a request's bytes for a request id.
    """

    def __init__(self, credential: Credential, send: Callable[[int | None, bytes], None]) -> None:
        self.credential = credential
        self._send = send
        self._again: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def refused(self, connection: Connection, request_id: int | None, request: bytes, challenge: Challenge) -> bool:
        """Whether the request is taken care of."""
        self._again = {each for each in self._again if connection.owes(each)}
        if request_id is None or request_id in self._again or not self.credential.can_help(challenge):
            return False
        self._again.add(request_id)
        task = asyncio.ensure_future(self._show_another(connection, request_id, request, challenge))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def another(self, shown: str, challenge: Challenge) -> bool:
        """For what is no request: whether there is something else to show now."""
        try:
            await self.credential.renewed(shown, challenge)
        except GarrisonError:
            return False
        return True

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _show_another(
        self, connection: Connection, request_id: int, request: bytes, challenge: Challenge
    ) -> None:
        try:
            await self.credential.renewed(shown_in(request), challenge)
        except GarrisonError as error:
            connection.failed(request_id, error)
            return
        if connection.owes(request_id):
            self._send(request_id, showing(request, self.credential.line))


def shown_in(request: bytes) -> str:
    """The credential's line in a request as it was sent; empty where there was none."""
    found = _LINE.search(request, 0, request.find(b"\r\n\r\n") + 2)
    return found[0][2:].decode("latin-1") + "\r\n" if found is not None else ""


def showing(request: bytes, line: str) -> bytes:
    """The same request with another credential."""
    head, end, body = request.partition(b"\r\n\r\n")
    bare = _LINE.sub(b"", head)
    return b"%b\r\n%b%b%b" % (bare, line.encode("latin-1")[:-2], end, body) if line else bare + end + body
