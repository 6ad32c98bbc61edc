"""forward: to the server, and back: the only stage that waits for somebody else, and it does so by callbacks."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from garrison.gateway import bridge, outbound
from garrison.gateway.call import PENDING, Call, Outcome
from garrison.gateway.heads import reading_of
from garrison.gateway.inflight import InFlight
from garrison.gateway.stage import Stage, Step
from garrison.kernel.errors import GarrisonError, TimedOut
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, Params, RpcError, members, notification_frame, params_of, raw

_TOKEN = "progressToken"  # noqa: S105  names a member, holds no secret


class Forward(Stage):
    """`client_info`: what we call ourselves towards modern servers on behalf of legacy clients."""

    name = "forward"
    needs = frozenset({"target", "arguments", "recorded", "screened"})

    def __init__(self, in_flight: InFlight, client_info: dict[str, Any]) -> None:
        self._in_flight = in_flight
        self._client_info = client_info

    def enter(self, call: Call) -> Step:
        call.passed = True
        if call.answer is not None:
            return call.answer(call)
        assert call.upstream is not None
        connection = call.upstream.live()
        info = connection.info
        params = bridge.request_params(call.params, call.era, info.era, info.version, self._client_info)
        self._in_flight.add(call)
        _Exchange(call, connection, call.upstream.spec.timeout_s).send(params)
        return PENDING

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        self._in_flight.remove(call)
        return outcome


class _Exchange:
    """The reply to one forwarded request: puts ids and tokens back, and ends the call exactly once."""

    __slots__ = ("_call", "_connection", "_deadline", "_request_id", "_timeout_s", "_token")

    def __init__(self, call: Call, connection: Connection, timeout_s: float) -> None:
        self._call = call
        self._connection = connection
        self._timeout_s = timeout_s
        self._request_id = connection.reserve()
        self._token: Raw | None = None
        self._deadline = asyncio.get_running_loop().call_later(timeout_s, self._expire)

    def send(self, params: Params) -> None:
        call = self._call
        call.on_cancel = self._cancel
        self._connection.request(
            self._request_id, call.method, self._with_own_token(params), self, self._headers(params)
        )

    # the reply

    def message(self, message: Message) -> None:
        """Progress and logs of this request, to the client's stream as they come."""
        call = self._call
        if call.finished or message.method is UNSET:
            return
        params: Params | Raw | None = None if message.params is UNSET else message.params
        if message.method == methods.PROGRESS:
            if self._token is None:
                return
            params = {**params_of(message), _TOKEN: self._token}
            self._postpone()
        if not call.streaming:
            if not reading_of(call.request.head).accepts_stream:
                return
            call.streaming = True
            call.sink.open_stream(outbound.STREAM)
        call.sink.event(notification_frame(message.method, params))

    def result(self, result: Raw) -> None:
        call = self._call
        try:
            content = bridge.result(result, call.method, call.era, self._connection.info.era)
        except GarrisonError as error:
            self._end(Outcome(failure=error))
        else:
            self._end(Outcome(result=content))

    def error(self, error: RpcError) -> None:
        self._end(Outcome(error=bridge.error(error, self._call.era)))

    def failed(self, error: GarrisonError) -> None:
        self._end(Outcome(failure=error))

    # inside

    def _headers(self, params: Params) -> dict[str, str] | None:
        """None lets the connection choose; only `Mcp-Param-*` come from here, because they need the tool's schema."""
        call = self._call
        if self._connection.info.era == "legacy" or call.definition is None or call.arguments is None:
            return None
        own = call.definition.headers(call.arguments)
        return {**self._connection.headers(call.method, params), **own} if own else None

    def _with_own_token(self, params: Params) -> Params:
        """A progress token must be unique on the connection, and many clients share it: ours is the request's id."""
        if "_meta" not in params:
            return params
        try:
            meta = members(params["_meta"])
        except (msgspec.MsgspecError, RecursionError):
            return params
        self._token = meta.get(_TOKEN)
        if self._token is None:
            return params
        return {**params, "_meta": raw({**meta, _TOKEN: self._request_id})}

    def _postpone(self) -> None:
        """Progress is a sign of life."""
        self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(self._timeout_s, self._expire)

    def _expire(self) -> None:
        server, timeout_s = self._connection.label, self._timeout_s
        self._connection.cancel(self._request_id, "timed out")
        message = f"server {server} did not answer within {timeout_s:g} s; whether the call took effect is unknown"
        self._end(
            Outcome(failure=TimedOut("server.timeout", message, "raise the server's timeout_s if it is only slow"))
        )

    def _cancel(self, reason: str) -> None:
        self._connection.cancel(self._request_id, reason)
        self._end(Outcome(failure=TimedOut("call.cancelled", f"the call was given up: {reason}")))

    def _end(self, outcome: Outcome) -> None:
        self._deadline.cancel()
        self._call.on_cancel = None
        self._call.finish(outcome)
