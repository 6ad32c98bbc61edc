"""Open streams on which clients hear that lists have changed: a legacy GET, or a modern `subscriptions/listen`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from garrison.gateway import outbound
from garrison.gateway.call import PENDING, Call, Outcome, Pending
from garrison.gateway.heads import reading_of
from garrison.kernel.errors import Limited
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, notification_frame, raw

KEEP_ALIVE_S = 15.0
AT_ONCE = 250
"""So many streams get their sign of life in one go."""

_FLAGS = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


class Extra(Protocol):
    """A kind of subscription of modern clients beside list changes."""

    async def honour(self, call: Call, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of what a client asks for, what it will get: it is told so before anything else."""

    def ended(self, call: Call) -> None:
        """Its stream is closed."""


@dataclass(frozen=True)
class StreamBounds:
    """Open streams at once."""

    of_all: int = 15_000
    per_principal: int = 10_000


@dataclass(eq=False)
class _Stream:
    call: Call
    wanted: frozenset[str]
    meta: Raw | None
    waiting: asyncio.Task[None] | None = None
    """Finding out what else can be honoured."""


class Streams:
    """Bounded, per principal and in all. One timer keeps every stream alive.

    `shows(endpoint, server)`: whether the news of a server concern those who listen at an endpoint.
    """

    def __init__(
        self,
        shows: Callable[[str, str], bool] = lambda endpoint, server: endpoint in ("", server),
        bounds: StreamBounds = StreamBounds(),
    ) -> None:
        self._shows = shows
        self._bounds = bounds
        self.opened: Callable[[Call], None] = lambda call: None
        """Told of each call that became a stream, and that no limit on calls concerns any more."""
        self.stays: Callable[[Call], bool] = lambda call: True
        """Whether whoever opened a stream is still known; else it is closed at its next sign of life."""
        self._open: dict[Call, _Stream] = {}
        self._of_session: dict[str, list[Call]] = {}
        self._older: set[Call] = set()
        """Streams of the older transport: their session is another one once the client has said `initialize`."""
        self._extras: dict[str, Extra] = {}
        self._per_principal: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due: list[Call] = []
        """Who is still to get a sign of life in this round."""

    def __len__(self) -> int:
        return len(self._open)

    def open_legacy(self, call: Call) -> Pending:
        """Answer a legacy GET: everything is announced."""
        self._add(call, frozenset(_FLAGS.values()), None)
        return PENDING

    def offer(self, flag: str, extra: Extra) -> None:
        """Honour a further member of what `subscriptions/listen` can ask for."""
        self._extras[flag] = extra

    def open_modern(self, call: Call) -> Pending:
        """Answer `subscriptions/listen`: first the acknowledgement of what is honoured, then what comes."""
        asked = _asked(call)
        wanted = frozenset(name for flag, name in _FLAGS.items() if asked.get(flag) is True)
        stream = self._add(call, frozenset(), raw({methods.META_SUBSCRIPTION: Raw(call.rpc_id or b"null")}))
        extras = [self._extras[flag].honour(call, asked) for flag in self._extras if asked.get(flag)]
        if extras:
            stream.waiting = asyncio.ensure_future(self._honour(stream, wanted, extras))
        else:
            self._acknowledge(stream, wanted, {})
        return PENDING

    async def _honour(
        self, stream: _Stream, wanted: frozenset[str], extras: Sequence[Awaitable[Mapping[str, Any]]]
    ) -> None:
        more: dict[str, Any] = {}
        for found in await asyncio.gather(*extras):
            more.update(found)
        if stream.call in self._open:
            self._acknowledge(stream, wanted, more)

    def _acknowledge(self, stream: _Stream, wanted: frozenset[str], more: Mapping[str, Any]) -> None:
        flags = {flag: True for flag, name in _FLAGS.items() if name in wanted}
        stream.wanted = wanted
        honoured = {"notifications": raw({**flags, **more}), "_meta": stream.meta or raw({})}
        stream.call.sink.event(notification_frame(_ACKNOWLEDGED, honoured))

    def tell(self, call: Call, notification: str, params: Mapping[str, Any]) -> None:
        """Put a notification on an open stream; a modern one says to which subscription it belongs."""
        stream = self._open.get(call)
        if stream is not None:
            own = {key: raw(value) for key, value in params.items()}
            call.sink.event(
                notification_frame(notification, own if stream.meta is None else {**own, "_meta": stream.meta})
            )

    def announce(self, server: str, notification: str) -> None:
        """Tell everyone who listens to this server, or where it is shown among others."""
        for stream in tuple(self._open.values()):
            if notification in stream.wanted and self._shows(stream.call.endpoint, server):
                _announce(stream, notification)

    def announce_all(self, endpoint: str) -> None:
        """Tell everyone who listens here that every list is another one."""
        for stream in tuple(self._open.values()):
            if stream.call.endpoint == endpoint:
                for notification in stream.wanted:
                    _announce(stream, notification)

    def send(self, session_id: str, frame: bytes) -> bool:
        """Put a message on a legacy session's own stream; False when it has none open."""
        found = self._of_session.get(session_id) or [one for one in self._older if _session_of(one) == session_id]
        for call in found:
            call.sink.event(frame)
            return True
        return False

    def close_all(self, session_id: str | None = None) -> None:
        """End the streams in order: all, or those of one session."""
        for call in tuple(self._open):
            if session_id is None or (call.session is not None and call.session.id == session_id):
                meta = self._open[call].meta
                self._close(call, raw({"resultType": "complete", "_meta": meta}) if meta is not None else None)

    def _add(self, call: Call, wanted: frozenset[str], meta: Raw | None) -> _Stream:
        owner = call.principal.id if call.principal is not None else ""
        if len(self._open) >= self._bounds.of_all or self._per_principal.get(owner, 0) >= self._bounds.per_principal:
            hint = "close some first, or raise edge.streams and edge.streams_per_principal"
            raise Limited("streams.too_many", "too many open streams", hint, 30.0)
        stream = self._open[call] = _Stream(call, wanted, meta)
        self._per_principal[owner] = self._per_principal.get(owner, 0) + 1
        call.on_cancel = lambda reason: self._close(call, None)
        self.opened(call)
        call.sink.open_stream(outbound.STREAM)
        call.streaming = True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._tick)
        if reading_of(call.request.head).older:
            self._older.add(call)
        elif call.session is not None:
            self._of_session.setdefault(call.session.id, []).append(call)
        return stream

    def _close(self, call: Call, result: Raw | None) -> None:
        stream = self._open.pop(call, None)
        if stream is None:
            return
        self._leave_session(call)
        if stream.waiting is not None:
            stream.waiting.cancel()
        for extra in self._extras.values():
            extra.ended(call)
        owner = call.principal.id if call.principal is not None else ""
        self._per_principal[owner] -= 1
        if not self._per_principal[owner]:
            del self._per_principal[owner]
        call.finish(Outcome(result=result))

    def _leave_session(self, call: Call) -> None:
        self._older.discard(call)
        calls = self._of_session.get(_session_of(call), [])
        if call in calls:
            calls.remove(call)
        if not calls:
            self._of_session.pop(_session_of(call), None)

    def _tick(self) -> None:
        """Some at a time, so that no call has to wait for all of them."""
        self._timer = None
        left = self._due or list(self._open)
        due, self._due = left[:AT_ONCE], left[AT_ONCE:]
        for call in due:
            if call in self._open:
                if self.stays(call):
                    call.sink.keep_alive_comment()
                else:
                    self._close(call, None)
        if self._open:
            parts = math.ceil(len(self._open) / AT_ONCE)
            self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S / parts, self._tick)


def _announce(stream: _Stream, notification: str) -> None:
    params = None if stream.meta is None else {"_meta": stream.meta}
    stream.call.sink.event(notification_frame(notification, params))


def _session_of(call: Call) -> str:
    return call.session.id if call.session is not None else ""


def _asked(call: Call) -> dict[str, Any]:
    try:
        found = decode_any(call.params.get("notifications", raw({})))
    except (msgspec.MsgspecError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}
