"""Requests of legacy sessions that have no answer yet, so that `notifications/cancelled` can find them."""

from __future__ import annotations

from garrison.gateway.call import Call


class InFlight:
    """By session and request id: one client cannot name another's request."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, bytes], Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        if call.session is not None and call.rpc_id is not None:
            self._calls[call.session.id, call.rpc_id] = call

    def remove(self, call: Call) -> None:
        if call.session is not None and call.rpc_id is not None:
            self._calls.pop((call.session.id, call.rpc_id), None)

    def cancel(self, session_id: str, raw_id: bytes) -> None:
        call = self._calls.get((session_id, raw_id))
        if call is not None:
            call.cancel("cancelled by the client")
