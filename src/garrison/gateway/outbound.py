"""An outcome becomes bytes: the JSON-RPC response in the client's era, with the HTTP status that it asks for."""

from __future__ import annotations

import math

from garrison.gateway import refusals
from garrison.gateway.call import Call, Outcome
from garrison.gateway.passage import Passage
from garrison.kernel.errors import GarrisonError, Kind, Limited
from garrison.protocol.codes import METHOD_NOT_FOUND, MODERN_HTTP_STATUS
from garrison.protocol.messages import EMPTY, RpcError, error_frame, result_frame

JSON = {"content-type": "application/json"}
STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


def answer(call: Call, outcome: Outcome) -> None:
    """Send the outcome to the client, on the stream where one is open."""
    if isinstance(outcome.failure, refusals.Hidden) and not outcome.failure.challenge:
        outcome = Outcome(failure=outcome.failure.told)
    if call.streaming:
        if isinstance(call.sink, Passage):
            call.sink.conclude(outcome)
            return
        if call.rpc_id is not None:
            call.sink.event(frame(call, outcome))
        call.sink.end_stream()
        return
    if outcome.failure is None and outcome.error is None:
        _result(call, outcome)
        return
    call.sink.respond(status(call, outcome), frame(call, outcome), headers(outcome))


def _result(call: Call, outcome: Outcome) -> None:
    if call.rpc_id is None:
        call.sink.respond(202 if call.request.head.verb == "POST" else 200, b"", {})
        return
    body = result_frame(call.rpc_id, outcome.result if outcome.result is not None else EMPTY)
    call.sink.respond(200, body, {**JSON, "mcp-session-id": call.session_id} if call.session_id else JSON)


def start_of_result(call: Call) -> bytes:
    """The response up to its result, for results that are passed on in pieces; a brace ends it."""
    return b'{"jsonrpc":"2.0","id":%b,"result":' % (call.rpc_id or b"null")


def frame(call: Call, outcome: Outcome) -> bytes:
    """The JSON-RPC response."""
    raw_id = call.rpc_id or b"null"
    if outcome.failure is not None or outcome.error is not None:
        return error_frame(raw_id, _error(outcome))
    return result_frame(raw_id, outcome.result if outcome.result is not None else EMPTY)


def status(call: Call, outcome: Outcome) -> int:
    failure = outcome.failure
    if isinstance(failure, refusals.ProtocolError):
        return failure.status if call.era == "modern" or failure.rpc != METHOD_NOT_FOUND else 200
    if isinstance(failure, refusals.Busy):
        return 503
    if failure is not None and failure.kind in refusals.HTTP_STATUS:
        return refusals.HTTP_STATUS[failure.kind]
    if failure is not None and call.request.head.verb == "GET":
        return 404 if failure.kind is Kind.NOT_FOUND else 400  # a stream that was asked for, and is none
    if call.era == "legacy" or (failure is None and outcome.error is None):
        return 200
    return MODERN_HTTP_STATUS.get(_error(outcome).code, 200)


def headers(outcome: Outcome) -> dict[str, str]:
    """Of a refusal."""
    more = _refusal_headers(outcome.failure) if outcome.failure is not None else {}
    return {**JSON, **more} if more else JSON


def _error(outcome: Outcome) -> RpcError:
    if outcome.failure is not None:
        return refusals.rpc_error(outcome.failure)
    assert outcome.error is not None
    return outcome.error


def _refusal_headers(failure: GarrisonError) -> dict[str, str]:
    if isinstance(failure, refusals.ProtocolError) and failure.allow:
        return {"allow": failure.allow}
    if failure.challenge:
        return {"www-authenticate": failure.challenge}
    if isinstance(failure, (Limited, refusals.Busy)):
        found = {"retry-after": str(max(1, math.ceil(failure.retry_after_s)))}
        if isinstance(failure, refusals.Busy) and failure.closing:
            found["connection"] = "close"
        return found
    return {}
