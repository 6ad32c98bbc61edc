"""Large results on their way to the client while they still come: what is held is a window, not a body.

That is done where nobody has to see the whole: the same era on both sides, nothing renamed, no schema owed, nothing to
be kept. What was sent cannot be taken back, so the answer's last byte waits for the outcome: a call that fails after
its answer has begun ends with the client's connection cut, and half an answer is never taken for a whole one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from garrison.gateway.call import Call, Outcome, Sink
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.large import Valve

_PASSED_ON = frozenset({methods.TOOLS_CALL, methods.PROMPTS_GET, methods.RESOURCES_READ})


class BodySink(Sink):
    """A sink that can take an answer in pieces."""

    __slots__ = ()

    @abstractmethod
    def open_body(self, size_bytes: int | None, headers: Mapping[str, str], valve: Valve) -> bool:
        """Begin a success of this size, or of unknown size. False, with nothing done, where it must be sent whole."""

    @abstractmethod
    def piece(self, data: bytes) -> None: ...

    @abstractmethod
    def end_body(self) -> None: ...

    @abstractmethod
    def cut(self) -> None:
        """End the connection at once: what was sent is not the whole."""


def can_pass(call: Call, connection: Connection) -> bool:
    """Whether this call's result may go to its client unseen."""
    definition, upstream = call.definition, call.upstream
    if call.finished or call.streaming or call.rpc_id is None or call.kept_key is not None:
        return False
    if upstream is None or upstream.rewrites or call.method not in _PASSED_ON or "response" in call.bodies:
        return False
    if call.screener is not None and call.screener.must_be_whole:
        return False
    return connection.info.era == call.era and (definition is None or not definition.has_output_schema)


class Screen(Protocol):
    """Looks at what goes on, and holds a little of it back; what it gives is never longer than what it got."""

    @property
    def feed(self) -> Callable[[bytes], bytes]: ...

    def end(self) -> bytes: ...


@dataclass(frozen=True)
class Hooks:
    """What the exchange wants to hear of. While the client does not read, the server is not to blame for the time."""

    goes_on: Callable[[], None]
    rests: Callable[[], None]
    ended: Callable[[Outcome], None]


class Passage:
    """Stands for the call's sink from its answer's first byte on. `room_bytes`: what the server will still send.

    As the response around the result is our own, the length that was promised is filled up with white space.
    """

    def __init__(
        self,
        sink: BodySink,
        start: bytes,
        room_bytes: int | None,
        valve: Valve,
        hooks: Hooks,
        screen: Screen | None = None,
    ) -> None:
        self._sink = sink
        self._start = start
        self._left = None if room_bytes is None else len(start) + room_bytes
        self._valve = valve
        self._hooks = hooks
        self._screen = screen
        self._resting = self._over = False
        self.sent_bytes = 0
        """Of the result."""

    def open(self, headers: Mapping[str, str]) -> bool:
        """False where the client has to get it whole."""
        return self._sink.open_body(self._left, headers, self)

    # ── the valve ──

    def pause(self) -> None:
        if not self._over:
            self._resting = True
            self._hooks.rests()
            self._valve.pause()

    def resume(self) -> None:
        if not self._over:
            self._resting = False
            self._hooks.goes_on()
            self._valve.resume()

    # ── the pieces ──

    def piece(self, data: bytes) -> None:
        if not self._resting:
            self._hooks.goes_on()
        self._go_on(data if self._screen is None else self._screen.feed(data))

    def _go_on(self, data: bytes) -> None:
        if not data:
            return
        self.sent_bytes += len(data)
        if self._start:
            start, self._start = self._start, b""
            self._send(start)
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)
        self._sink.piece(data)

    def end(self, *, is_error: bool) -> None:
        if self._screen is not None:
            self._go_on(self._screen.end())
        self._hooks.ended(Outcome(tool_error=is_error))

    def conclude(self, outcome: Outcome) -> None:
        """The outcome is on the record: the rest of the answer, or none."""
        self._over = True
        if outcome.failure is not None or outcome.error is not None:
            self._sink.cut()
            return
        self._sink.piece(b"}" if self._left is None else b"}".ljust(self._left))
        self._sink.end_body()

    # ── the sink ──

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Another answer cannot be given any more."""
        self._sink.cut()

    def open_stream(self, headers: Mapping[str, str]) -> None:
        """The answer has begun as what it is."""

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        """There is no place for it any more."""

    def end_stream(self) -> None:
        self._sink.cut()

    def keep_alive_comment(self) -> None:
        """It is no idle stream."""

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        self._sink.on_disconnect(callback)
