"""Calls that wait for a server, so that a cancellation or the end of the gateway can find them."""

from __future__ import annotations

from garrison.gateway.call import Call


class InFlight:
    """Calls of legacy sessions are also known by session and request id: one client cannot name another's request."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._by_request: dict[tuple[str, bytes], Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        self._calls.add(call)
        if call.session is not None and call.rpc_id is not None:
            self._by_request[call.session.id, call.rpc_id] = call

    def remove(self, call: Call) -> None:
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
