"""Calls that wait for a server, so that a cancellation or the end of the gateway can find them."""

from __future__ import annotations

from typing import Protocol

from garrison.gateway.sessions import Session


class Waiting(Protocol):
    """A call that is at a server. `rpc_id` is None for a notification."""

    @property
    def session(self) -> Session | None: ...

    @property
    def rpc_id(self) -> bytes | None: ...

    def cancel(self, reason: str) -> None: ...


class InFlight:
    """Calls of legacy sessions are also known by session and request id: one client cannot name another's request."""

    def __init__(self) -> None:
        self._calls: set[Waiting] = set()
        self._by_request: dict[tuple[str, bytes], Waiting] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def calls(self) -> tuple[Waiting, ...]:
        return tuple(self._calls)

    def add(self, call: Waiting) -> None:
        self._calls.add(call)
        if call.session is not None and call.rpc_id is not None:
            self._by_request[call.session.id, call.rpc_id] = call

    def remove(self, call: Waiting) -> None:
        self._calls.discard(call)
        if call.session is not None and call.rpc_id is not None:
            key = (call.session.id, call.rpc_id)
            if self._by_request.get(key) is call:
                del self._by_request[key]

    def cancel(self, session_id: str, raw_id: bytes) -> None:
        """The client sent `notifications/cancelled`."""
        call = self._by_request.get((session_id, raw_id))
        if call is not None:
            call.cancel("cancelled by the client")

    def cancel_all(self, reason: str) -> None:
        for call in tuple(self._calls):
            call.cancel(reason)
