"""Streamable HTTP, both eras: each message is a POST; its answer is JSON or an event stream.

Legacy servers may also hold a session (`Mcp-Session-Id`) and speak unasked on a GET stream (2025-11-25, transports).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from garrison.kernel.errors import TimedOut, Unavailable
from garrison.protocol.events import EventReader
from garrison.protocol.headers import Headers
from garrison.protocol.messages import is_error_response
from garrison.protocol.transports.credentials import HEADER, Challenge, Credential, Showing
from garrison.protocol.transports.heads import fixed_headers, status_error
from garrison.protocol.transports.http_answers import Answer, Resumed, ServerStream
from garrison.protocol.transports.links import Exchange, LinkPool
from garrison.protocol.transports.origin import parse_url
from garrison.protocol.transports.outbound import Way
from garrison.protocol.transports.renewal import Renewals, body_of, says_session_lost, session_of

if TYPE_CHECKING:
    from garrison.protocol.connection import Connection
    from garrison.protocol.handshake import ServerInfo

HEADS_MAX = 1024
HEAD_BYTES_MAX = 4096
STREAM_RETRY_S = (1.0, 2.0, 5.0, 15.0, 30.0)
DELIVERY_S = 2.0
RENEWAL_S = 20.0
RESUME_S = (0.1, 1.0, 30.0)
"""Least, usual and longest wait before a stream is taken up again; the server's `retry` decides between the ends."""
_EVENT_ID = re.compile(r"[\x20-\x7e]{1,1024}")
_SESSION_ID = re.compile(r"[\x21-\x7e]{1,1024}")
_STATUS_COUNTS = frozenset({401, 429, 503})
"""Statuses that say more than a JSON-RPC error beside them."""


class HttpTransport:
    """`headers` are the server's own; they go out with every request and nowhere else, and so does what `credential`
    has to show, which takes the place of an `Authorization` among them.
    """

    cancels_by_closing = True

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        label: str,
        way: Way | None = None,
        credential: Credential | None = None,
    ) -> None:
        """Raises `Invalid` when the URL or a header cannot be used. `way`: how far its name may lead."""
        self._origin = parse_url(url)
        self._pool = LinkPool(self._origin, way=way)
        self._fixed = fixed_headers(self._origin.authority, url, headers, without=HEADER if credential else "")
        self._showing = Showing(credential, self._send_bytes) if credential is not None else None
        self._label = label
        self.connection: Connection
        """Set by `bind`, before anything is sent."""
        self._session = ""
        self._version = ""
        """Of the settled handshake; until then no request carries a session."""
        self._exchanges: dict[int, Exchange] = {}
        self._heads: dict[Headers, bytes] = {}
        """Heads of POSTs by their headers: the same few are sent again and again."""
        self._notices: set[asyncio.Future[None]] = set()
        self._stream: asyncio.Task[None] | None = None
        self._renewals = Renewals(self._renew, self._send_again)
        self._unwatch = credential.watch(self._heads.clear) if credential is not None else _nothing

    def bind(self, connection: Connection) -> None:
        self.connection = connection

    def send(self, frame: bytes, request_id: int | None, headers: Headers) -> None:
        if self._renewals.waiting is not None and request_id is not None and headers:  # a handshake has none
            self._renewals.waiting[request_id] = frame
            return
        head = self._heads.get(headers) or self._post_head(headers)
        answer = Answer(self, request_id, b"%b%d\r\n\r\n%b" % (head, len(frame), frame))
        if request_id is not None:
            self._exchanges[request_id] = answer
        self._pool.begin(answer)
        if request_id is None:
            self._notices.add(answer.expect_acknowledgement(self._notices.discard))

    def abandon(self, request_id: int) -> None:
        """Closing the stream is how a modern request is cancelled; for a legacy one it only ends our interest."""
        exchange = self._exchanges.pop(request_id, None)
        if exchange is not None:
            exchange.abort()

    def settled(self, info: ServerInfo) -> None:
        self._version = info.version
        self._heads.clear()
        if info.era == "legacy":
            self._stream = asyncio.get_running_loop().create_task(self._listen())
        else:
            self._session = ""

    async def delivered(self) -> None:
        if self._notices:
            await asyncio.wait(self._notices, timeout=DELIVERY_S)

    async def close(self) -> None:
        self._unwatch()
        if self._showing is not None:
            await self._showing.close()
        await self._renewals.close()
        await self._hang_up()
        if self._session and self._version:
            await self._end_session()
        await self._pool.close()

    # ── called by answers ──

    def answered(self, request_id: int | None) -> None:
        if request_id is not None:
            self._exchanges.pop(request_id, None)

    def resume(self, request_id: int | None, events: EventReader) -> bool:
        """A legacy server may end a stream before the answer and have it fetched later (2025-11-25, resumability)."""
        if request_id is None or self._stream is None or not _EVENT_ID.fullmatch(events.last_id):
            return False
        if not self.connection.owes(request_id):
            return False
        headers = {"mcp-protocol-version": self._version, "last-event-id": events.last_id}
        head = self._head("GET", headers) + b"\r\n"
        again = self._exchanges[request_id] = Resumed(self, request_id, head)
        least, usual, longest = RESUME_S
        wait_s = usual if events.retry_ms is None else min(max(events.retry_ms / 1000, least), longest)
        asyncio.get_running_loop().call_later(wait_s, self._begin_again, request_id, again)
        return True

    def _begin_again(self, request_id: int, again: Exchange) -> None:
        if self.connection.owes(request_id) and not again.aborted:
            self._pool.begin(again)

    def keep_session(self, session: str) -> None:
        """The handshake's answers name the session; later ones cannot change it."""
        if not self._version and _SESSION_ID.fullmatch(session):
            self._session = session
            self._heads.clear()

    def refused(
        self, request_id: int | None, status: int, headers: Mapping[str, str], body: bytes, request: bytes
    ) -> bool:
        """An HTTP error: a lost session (then the request is sent again in another: False), its body, or its status.

        Where the credential was refused, and another one may help, the request is sent again as well.
        """
        challenge = Challenge(status, headers.get("www-authenticate", ""))
        showing = self._showing
        if showing is not None and showing.refused(self.connection, request_id, request, challenge):
            return False
        session = session_of(request)
        if session and says_session_lost(status, body, request_id):
            self._renewals.lost(self.connection, request_id, body_of(request), present=session == self._session)
            return False
        if request_id is None:
            return True
        if status not in _STATUS_COUNTS and is_error_response(body):
            self.connection.received(body, request_id)
        else:
            self.connection.failed(request_id, status_error(self._label, status, headers))
        return True

    def broken(self, request_id: int | None, reason: str, *, sent: bool) -> None:
        if sent and request_id is not None:
            message = f"server {self._label} broke off before it answered ({reason}); the outcome is unknown"
            self.connection.failed(request_id, TimedOut("server.lost", message, "check what the call did"))
        elif not sent:
            if request_id is not None:
                hint = "is it running, and is the URL right?"
                error = Unavailable("server.unreachable", f"server {self._label} cannot be reached: {reason}", hint)
                self.connection.failed(request_id, error)
            if not self._exchanges:  # calls that are being answered show that it lives
                self.connection.lost(f"cannot be reached: {reason}")

    # ── inside ──

    async def _renew(self) -> None:
        """Another session; of the former one nothing counts."""
        await self._hang_up()
        self._session = self._version = ""
        self._heads.clear()
        await self.connection.renew(RENEWAL_S)

    def _send_bytes(self, request_id: int | None, request: bytes) -> None:
        answer = Answer(self, request_id, request)
        if request_id is not None:
            self._exchanges[request_id] = answer
        self._pool.begin(answer)

    def _send_again(self, request_id: int, frame: bytes) -> None:
        self.send(frame, request_id, Headers({"mcp-protocol-version": self._version}))

    async def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            await asyncio.wait({self._stream})
            self._stream = None

    def _post_head(self, headers: Headers) -> bytes:
        """A POST's head up to the digits of its length."""
        head = self._head("POST", headers) + b"content-length: "
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        if len(head) <= HEAD_BYTES_MAX:
            self._heads[headers] = head
        return head

    def _head(self, verb: str, headers: Mapping[str, str]) -> bytes:
        """Everything but the length and the empty line at the end."""
        lines = [f"{verb} {self._origin.target} HTTP/1.1\r\n", self._fixed]
        if self._showing is not None:
            lines.append(self._showing.credential.line)
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        if self._session and self._version:
            lines.append(f"mcp-session-id: {self._session}\r\n")
        if verb == "POST":
            lines.append("content-type: application/json\r\n")
        accept = "text/event-stream" if verb == "GET" else "application/json, text/event-stream"
        lines.append(f"accept: {accept}\r\n")
        return "".join(lines).encode("latin-1")

    async def _listen(self) -> None:
        """Hold the GET stream open, if the server has one."""
        await self.delivered()
        attempt, had_one = 0, False
        while True:
            status = await self._listen_once()
            had_one = had_one or status == 200
            if status == 404 and had_one:
                self._renewals.lost(self.connection, None, b"", present=True)
            if status == 401 and self._showing is not None:
                shown = self._showing.credential.line
                if attempt or not await self._showing.another(shown, Challenge(status)):
                    return
            elif status and status != 200 and status < 500:
                return  # it offers no such stream
            attempt = 0 if status == 200 else attempt + 1
            await asyncio.sleep(STREAM_RETRY_S[min(attempt, len(STREAM_RETRY_S) - 1)])

    async def _listen_once(self) -> int:
        exchange, ended = self._bodiless("GET")
        try:
            return await ended
        finally:
            exchange.abort()

    async def _end_session(self) -> None:
        exchange, ended = self._bodiless("DELETE")
        await asyncio.wait({ended}, timeout=1.0)
        exchange.abort()

    def _bodiless(self, verb: str) -> tuple[Exchange, asyncio.Future[int]]:
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        head = self._head(verb, {"mcp-protocol-version": self._version}) + b"\r\n"
        return self._pool.send(head, ServerStream(self.connection, ended)), ended


def _nothing() -> None:
    """There is nothing to end."""
