"""What a legacy client has asked for that outlives its request: a log level, subscriptions to resources.

A server forgets these with the connection; whoever opens another one for the same client asks for them again.
"""

from __future__ import annotations

import logging

from garrison.kernel.errors import GarrisonError, Limited
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Params, text

SUBSCRIPTIONS_MAX = 1_000
RESTORE_TIMEOUT_S = 10.0

STANDING = frozenset({methods.SET_LEVEL, methods.SUBSCRIBE, methods.UNSUBSCRIBE})

log = logging.getLogger("garrison.gateway")


class Standing:
    """One client's standing requests to one server."""

    def __init__(self) -> None:
        self._level: Params | None = None
        self._subscriptions: dict[str, Params] = {}

    def note(self, method: str, params: Params) -> None:
        """The client asks for this. Raises `Limited` when it subscribes to more than can be kept."""
        if method == methods.SET_LEVEL:
            self._level = dict(params)
            return
        uri = text(params, "uri")
        if method == methods.UNSUBSCRIBE:
            self._subscriptions.pop(uri, None)
        elif len(self._subscriptions) < SUBSCRIPTIONS_MAX or uri in self._subscriptions:
            self._subscriptions[uri] = dict(params)
        else:
            message = f"a client may subscribe to {SUBSCRIPTIONS_MAX} resources of a server"
            raise Limited("subscriptions.too_many", message, "unsubscribe from some first", 30.0)

    def requests(self) -> list[tuple[str, Params]]:
        """What to ask of a new connection, in order."""
        level = [(methods.SET_LEVEL, self._level)] if self._level is not None else []
        return [*level, *((methods.SUBSCRIBE, params) for params in self._subscriptions.values())]

    async def restore(self, connection: Connection) -> None:
        """Ask for all of it again. What is refused now was refused before, or is no longer there."""
        for method, params in self.requests():
            try:
                await connection.ask(method, params, RESTORE_TIMEOUT_S)
            except GarrisonError as error:
                why = {"server": connection.label, "method": method, "why": error.message}
                log.info("a standing request was not taken up again", extra=why)
                if connection.closed is not None:
                    return
