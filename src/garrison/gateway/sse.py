"""The older transport, HTTP+SSE of 2024-11-05: one event stream for everything, and a URL of its own to post to.

A stream is opened with GET; its first event says where to post. Each POST is a call like any other; it is acknowledged
with 202, and what comes of it goes to the stream. Both are authenticated, and a stream is its principal's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from garrison.gateway.call import Call, Sink
from garrison.gateway.heads import reading_of
from garrison.gateway.inbound import session_unknown
from garrison.gateway.sessions import Session, Sessions

VERSION = "2024-11-05"
"""What a client speaks that has not said `initialize` yet."""


class OlderStreams:
    """All open streams, by the session that their URL names. `ended` is told of sessions whose stream is gone.

    Their number is bounded where all streams are (`gateway/streams.py`).
    """

    def __init__(self, sessions: Sessions, ended: Callable[[Session], None]) -> None:
        self._sessions = sessions
        self._ended = ended
        self._open: dict[str, OlderStream] = {}

    def __len__(self) -> int:
        return len(self._open)

    def prepare(self, call: Call) -> Reply | None:
        """Put the call's answer on its way: a stream is announced, a posted message answered on its stream."""
        if call.request.head.verb != "POST":
            call.sink = _Opening(self, call)
            return None
        token = reading_of(call.request.head).session
        named = self._sessions.open(token) if token else None
        stream = self._open.get(named.id) if named is not None and named.endpoint == call.endpoint else None
        if stream is None:
            call.problem = call.problem or session_unknown()
            return None
        call.session = stream.session
        call.version = stream.session.version
        call.client_name = call.client_name or stream.session.client
        call.sink = reply = Reply(call, stream, self._sessions)
        return reply

    def begin(self, call: Call, sink: Sink) -> str:
        """The stream is open; gives the path to post to."""
        assert call.principal is not None
        session = self._sessions.begin(call.principal.id, call.endpoint, VERSION, "")
        call.session = session
        self._open[session.id] = OlderStream(call, sink, session)
        return f"{call.request.head.path}/{self._sessions.seal(session)}"

    def end(self, call: Call) -> None:
        """The stream is gone: whoever waited for something on it need not wait any more."""
        for first_id, stream in tuple(self._open.items()):
            if stream.call is call:
                del self._open[first_id]
                stream.give_up()
                self._ended(stream.session)


class OlderStream:
    """One client's stream. `session` is replaced by the one that the client agrees on in `initialize`."""

    def __init__(self, call: Call, sink: Sink, session: Session) -> None:
        self.call = call
        self.sink = sink
        self.session = session
        self._waiting: dict[Reply, Callable[[], None]] = {}

    def agreed(self, session: Session) -> None:
        self.session = self.call.session = session

    def wait(self, reply: Reply, callback: Callable[[], None]) -> None:
        """Call back if the stream goes away before this answer."""
        self._waiting[reply] = callback

    def done(self, reply: Reply) -> None:
        self._waiting.pop(reply, None)

    def give_up(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for callback in waiting.values():
            callback()


class _Opening:
    """The sink of the GET: says where to post as soon as the stream is open."""

    def __init__(self, streams: OlderStreams, call: Call) -> None:
        self._streams = streams
        self._call = call
        self._sink = call.sink

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._sink.respond(status, body, headers)

    def open_stream(self, headers: Mapping[str, str]) -> None:
        path = self._streams.begin(self._call, self._sink)
        self._sink.open_stream(headers)
        self._sink.event(path.encode("latin-1"), b"endpoint")

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        self._sink.event(frame, kind)

    def keep_alive_comment(self) -> None:
        self._sink.keep_alive_comment()

    def end_stream(self) -> None:
        self._sink.end_stream()
        self._streams.end(self._call)

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        def gone() -> None:
            self._streams.end(self._call)
            callback()

        self._sink.on_disconnect(gone)


class Reply:
    """The sink of a POST: 202 for the request itself, what comes of it for the stream.

    A stranger who knows the URL learns nothing and reaches nobody: what is refused before we know that the stream is
    the caller's goes back on the POST.
    """

    def __init__(self, call: Call, stream: OlderStream, sessions: Sessions) -> None:
        self._call = call
        self._stream = stream
        self._sessions = sessions
        self._post = call.sink
        self._acknowledged = False

    def acknowledge(self) -> None:
        if not self._acknowledged:
            self._acknowledged = True
            self._post.respond(202, b"", {})

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._stream.done(self)
        if not self._belongs_on_stream():
            if not self._acknowledged:
                self._acknowledged = True
                self._post.respond(status, body, headers)
            return
        agreed = self._sessions.open(headers["mcp-session-id"]) if "mcp-session-id" in headers else None
        if agreed is not None:
            self._stream.agreed(agreed)
        self.acknowledge()
        if self._call.method != "response":
            self._stream.sink.event(body)

    def open_stream(self, headers: Mapping[str, str]) -> None:
        self.acknowledge()

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        self._stream.sink.event(frame, kind)

    def keep_alive_comment(self) -> None:
        """The stream is kept alive as such."""

    def end_stream(self) -> None:
        self._stream.done(self)

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        self._stream.wait(self, callback)

    def _belongs_on_stream(self) -> bool:
        call = self._call
        is_theirs = call.principal is not None and call.principal.id == self._stream.session.principal
        return is_theirs and call.rpc_id is not None and call.problem is None
