"""The hot path's door: a subclass of uvicorn's HTTP protocol that takes requests to MCP endpoints itself.

Everything else (health, metrics, admin API) goes on to ASGI. uvicorn keeps what it is good at: sockets, keep-alive,
pipelining, shutdown. The strict guard stands in front of both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from garrison.gateway.call import HttpRequest
from garrison.gateway.heads import Head
from garrison.kernel.outbox import Outbox
from garrison.protocol.large import Valve
from garrison.surfaces.edge.crowd import Crowd
from garrison.surfaces.edge.exchange import Exchange
from garrison.surfaces.edge.guard import Guard, Refusal
from garrison.surfaces.edge.idle import IdleConnections
from garrison.surfaces.edge.known_heads import KnownHeads
from garrison.surfaces.edge.peers import Peer, Witness
from garrison.surfaces.edge.reading import is_mcp_path, read_head, refusal_response, without_upgrade

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

Handler = Callable[[HttpRequest, Exchange], None]

HEAD_TIMEOUT_S = 10.0
WHOLE_BYTES_MAX = 16 * 1024
"""Of a message in several pieces, so much is kept until it is read, to know the next one's head."""
BODY_TIMEOUT_S = 30.0
LINGER_S = 2.0
"""How long what still comes after a refusal is read and dropped: who closes at once resets the connection, and the
client never sees the answer."""
STALLED_S = 30.0
"""A client that takes nothing of what waits for it for so long is cut off."""


class EdgeProtocol(HttpToolsProtocol):
    """One client connection. `handler`, `guard` and `heads` are set on a subclass by `protocol_class`."""

    handler: Handler
    guard: Guard
    heads: KnownHeads
    idle: IdleConnections
    outbox: Outbox
    crowd: Crowd
    witness: Witness | None
    peer: Peer | None = None
    """Whose client certificate was shown."""
    _counts = False
    """Among the connections that there may be."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._body_size = 0
        self._unread = 0
        """Bytes that came since the last that a head or a body was made of."""
        self._in_head = True
        self._held = False
        """What is next on the connection waits until the client has read what is due to it."""
        self._refused = False
        self._between = True
        """No byte of a further request has come."""
        self._whole = b""
        """The bytes that began the request being read, to remember its head by."""
        self._head_alone = b""
        """A head like one before that came without its body, which is still to come."""
        self._rests_since_s = 0.0
        self._host = ""
        self._stalled: asyncio.TimerHandle | None = None
        self._valve: Valve | None = None
        """Where the answer that is being written comes from, while it still comes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._host = self.client[0] if self.client else ""
        self._rests_since_s = self.loop.time()
        self._counts = self.crowd.enters(self._host)
        if not self._counts:
            self._refuse(Refusal(503, "too many connections"))
            return
        if self.witness is not None:
            self.peer = self.witness.meets(transport)
        self.idle.watch(self.loop, self.connections)
        self._expect(HEAD_TIMEOUT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._await_reader(None)
        if self._counts:
            self.crowd.leaves(self._host)
        exchange = self._exchange()
        super().connection_lost(exc)
        if exchange is not None:
            exchange.disconnect()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._between and (self.cycle is None or self.cycle.response_complete):
            if self._head_alone:
                data, self._head_alone = self._head_alone + data, b""
            known = self.heads.find(data)
            if known is not None:  # a request like one before: the parser need not see it
                if self._deadline is not None:
                    self._expect(None)
                exchange = Exchange(self, known[0], known[1], self._host)
                exchange.current = exchange.whole = True
                if self.peer is not None:
                    exchange.certificate = self.peer.principal()
                self.cycle = exchange  # type: ignore[assignment]
                self.handler(exchange, exchange)
                return
            if self._waits_for_body(data):
                return
            self._whole = data
        elif self._whole:
            self._whole = self._whole + data if len(self._whole) + len(data) <= WHOLE_BYTES_MAX else b""
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        if self._between and b"pgrade" in data:
            data = without_upgrade(data)
        self._between = False
        self._unread += len(data)
        super().data_received(data)
        if self._unread > 2 * self.guard.head_bytes_max and not self._refused:
            self._refuse(Refusal(431, "too many or too large headers, trailers or chunk extensions"))

    def _waits_for_body(self, data: bytes) -> bool:
        """Many clients write the head and the body one after the other: together they may be one like before."""
        if not data.endswith(b"\r\n\r\n") or not self.heads.owes_body(data):
            return False
        self._head_alone = data
        self._expect(BODY_TIMEOUT_S)
        return True

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._body_size = 0
        self._in_head = True
        self._expect(HEAD_TIMEOUT_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers would be headers that nobody has judged
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unread = 0
        self._expect(BODY_TIMEOUT_S)
        refusal = self.guard.check(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        if refusal is not None:
            self._refuse(refusal)
            return
        path = self.url.partition(b"?")[0]
        if not is_mcp_path(path):
            if self.peer is not None:
                self.scope["state"]["certificate"] = self.peer.principal()
            super().on_headers_complete()
            return
        self._begin_exchange(path)

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        self._unread = 0
        if self._refused:
            return
        if self._body_size > self.guard.body_bytes_max:
            if self.cycle is not None and self.cycle.response_complete:
                self._stop_listening()  # answered unread; a second answer would be taken for the next request's
                return
            self._refuse(Refusal(413, f"the body is larger than {self.guard.body_bytes_max} bytes"))
            return
        exchange = self._exchange()
        if exchange is None:
            super().on_body(body)
        elif exchange.body:
            exchange.body += body
        else:
            exchange.body = bytearray(body)

    def on_message_complete(self) -> None:
        self._expect(None)
        self._unread = 0
        if self._refused:
            return
        self._between = True
        exchange = self._exchange()
        if exchange is None:
            super().on_message_complete()
            return
        exchange.whole = True
        whole, self._whole = self._whole, b""
        if whole:
            self.heads.keep(whole, exchange.head)
        if exchange.current:
            self.handler(exchange, exchange)

    def _exchange(self) -> Exchange | None:
        """The request that is being read, if it is one of ours."""
        cycle: Any = self.cycle
        return cycle if isinstance(cycle, Exchange) else None

    def _begin_exchange(self, path: bytes) -> None:
        before = self.cycle
        verb = self.parser.get_method().decode("ascii")
        exchange = self._new_exchange(read_head(verb, path, self.headers, self.parser.should_keep_alive()))
        if self.expect_100_continue:
            self.outbox.flush()
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if before is None or before.response_complete:
            exchange.current = True
        else:  # pipelined: its turn comes when the one before is answered
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))  # type: ignore[arg-type]

    def _new_exchange(self, head: Head) -> Exchange:
        exchange = Exchange(self, head, b"", self._host)
        if self.peer is not None:
            exchange.certificate = self.peer.principal()
        self.cycle = exchange  # type: ignore[assignment]
        return exchange

    def on_response_complete(self) -> None:
        """The next request in line, or a rest. uvicorn would set a timer here; ours looks at all that rest at once."""
        self.server_state.total_requests += 1
        self._rests_since_s = self.loop.time()
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            self._held = True
            return
        if self.flow.read_paused or self.pipeline:
            self._go_on()

    def _go_on(self) -> None:
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def pause_writing(self) -> None:
        """The client reads slower than it asks: it is not listened to until it has caught up."""
        super().pause_writing()
        self.flow.pause_reading()
        if self._valve is not None:
            self._valve.pause()
        self._await_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._await_reader(None)
        if self._valve is not None:
            self._valve.resume()
        if self._held:
            self._held = False
            self._go_on()
        elif not self.pipeline and not self.transport.is_closing():
            self.flow.resume_reading()

    def watch(self, valve: Valve | None) -> None:
        """Close it whenever the client does not read what is due to it; at once, if that is so already."""
        self._valve = valve
        if valve is not None and self.flow.write_paused:
            valve.pause()

    def _await_reader(self, due: int | None) -> None:
        """`due` bytes wait to be read; if none of them is for long, the client is gone or means harm."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if due is not None:
            self._stalled = self.loop.call_later(STALLED_S, self._check_reader, due)

    def _check_reader(self, due: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= due:
            self.transport.abort()
        else:
            self._await_reader(left)

    def close_if_idle(self, now_s: float) -> None:
        """End a connection on which nothing has happened for long."""
        at_rest = self._between and not self._head_alone and (self.cycle is None or self.cycle.response_complete)
        if at_rest and now_s - self._rests_since_s >= self.timeout_keep_alive:
            self.timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: Any, app: ASGI3Application) -> None:
        if not isinstance(cycle, Exchange):
            self.outbox.flush()
            super()._start_asgi_task(cycle, app)
            return
        cycle.current = True
        if cycle.whole:
            self.handler(cycle, cycle)

    def shutdown(self) -> None:
        if self._head_alone:  # begun before the end was asked for: it is served
            data, self._head_alone, self._between = self._head_alone, b"", False
            super().data_received(data)
        self.outbox.flush()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """What the parser could not read."""
        self._refuse(Refusal(400, "the request is not valid HTTP"))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and close: after a malformed request, nothing on this connection can be trusted."""
        if self._refused or self.transport.is_closing():
            return
        self.outbox.flush()
        self.transport.write(refusal_response(refusal))
        self._stop_listening()

    def _stop_listening(self) -> None:
        """No more answers; a moment for the client to read what it has got, which a reset would take from it."""
        self._refused = True
        self._expect(None)
        self.outbox.flush()
        if self.pipeline or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._give_up_cycle()
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_S, self.transport.close)

    def _give_up_cycle(self) -> None:
        """What was being read or answered gets no answer any more."""
        cycle: Any = self.cycle
        if isinstance(cycle, Exchange):
            cycle.disconnect()
        elif cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

    def _expect(self, seconds: float | None) -> None:
        """The next part of the request has this long to come; None when nothing is awaited."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._refuse(Refusal(408, "the request came too slowly"))


def protocol_class(
    handler: Handler, guard: Guard, crowd: Crowd | None = None, witness: Witness | None = None
) -> type[EdgeProtocol]:
    """The class that uvicorn makes one instance of for each connection."""
    bound = {
        "handler": staticmethod(handler),
        "guard": guard,
        "heads": KnownHeads(guard.body_bytes_max),
        "idle": IdleConnections(),
        "outbox": Outbox(),
        "crowd": crowd or Crowd(),
        "witness": witness,
    }
    return type("BoundEdgeProtocol", (EdgeProtocol,), bound)
