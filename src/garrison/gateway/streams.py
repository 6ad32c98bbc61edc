"""Open streams on which clients hear that lists have changed: a legacy GET, or a modern `subscriptions/listen`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from msgspec import Raw

from garrison.gateway import outbound
from garrison.gateway.call import PENDING, Call, Outcome, Pending
from garrison.kernel.errors import Limited
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, notification_frame, raw

STREAMS_MAX = 20_000
STREAMS_PER_PRINCIPAL_MAX = 1_000
KEEP_ALIVE_S = 15.0

_FLAGS = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


@dataclass(frozen=True, eq=False)
class _Stream:
    call: Call
    wanted: frozenset[str]
    meta: Raw | None


class Streams:
    """Bounded, per principal and in all. One timer keeps every stream alive."""

    def __init__(self) -> None:
        self._open: dict[Call, _Stream] = {}
        self._per_principal: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def open_legacy(self, call: Call) -> Pending:
        """Answer a legacy GET: everything is announced."""
        self._add(call, frozenset(_FLAGS.values()), None)
        return PENDING

    def open_modern(self, call: Call) -> Pending:
        """Answer `subscriptions/listen`: first the acknowledgement of what is honoured, then what comes."""
        asked = decode_any(call.params.get("notifications", raw({})))
        flags = [flag for flag in _FLAGS if isinstance(asked, dict) and asked.get(flag) is True]
        meta = raw({methods.META_SUBSCRIPTION: Raw(call.rpc_id or b"null")})
        self._add(call, frozenset(_FLAGS[flag] for flag in flags), meta)
        honoured = {"notifications": raw(dict.fromkeys(flags, True)), "_meta": meta}
        call.sink.event(notification_frame(_ACKNOWLEDGED, honoured))
        return PENDING

    def announce(self, server: str, notification: str) -> None:
        """Tell everyone who listens to this server or to the aggregate."""
        for stream in tuple(self._open.values()):
            if notification in stream.wanted and stream.call.endpoint in ("", server):
                params = None if stream.meta is None else {"_meta": stream.meta}
                stream.call.sink.event(notification_frame(notification, params))

    def send(self, session_id: str, frame: bytes) -> bool:
        """Put a message on a legacy session's own stream; False when it has none open."""
        for call in self._open:
            if call.session is not None and call.session.id == session_id:
                call.sink.event(frame)
                return True
        return False

    def close_all(self, session_id: str | None = None) -> None:
        """End the streams in order: all, or those of one session."""
        for call in tuple(self._open):
            if session_id is None or (call.session is not None and call.session.id == session_id):
                meta = self._open[call].meta
                self._close(call, raw({"resultType": "complete", "_meta": meta}) if meta is not None else None)

    def _add(self, call: Call, wanted: frozenset[str], meta: Raw | None) -> None:
        owner = call.principal.id if call.principal is not None else ""
        if len(self._open) >= STREAMS_MAX or self._per_principal.get(owner, 0) >= STREAMS_PER_PRINCIPAL_MAX:
            raise Limited("streams.too_many", "too many open streams", "close some first", 30.0)
        self._open[call] = _Stream(call, wanted, meta)
        self._per_principal[owner] = self._per_principal.get(owner, 0) + 1
        call.on_cancel = lambda reason: self._close(call, None)
        call.sink.open_stream(outbound.STREAM)
        call.streaming = True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._tick)

    def _close(self, call: Call, result: Raw | None) -> None:
        if self._open.pop(call, None) is None:
            return
        owner = call.principal.id if call.principal is not None else ""
        self._per_principal[owner] -= 1
        if not self._per_principal[owner]:
            del self._per_principal[owner]
        call.finish(Outcome(result=result))

    def _tick(self) -> None:
        self._timer = None
        for call in tuple(self._open):
            call.sink.keep_alive_comment()
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._tick)
