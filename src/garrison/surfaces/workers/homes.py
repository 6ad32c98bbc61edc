"""At which worker a request's state lives. Pure.

A legacy session lives where it began: its streams, its calls in flight, its own connections to servers. A call of a
modern client that is parked lives where it was parked. Everything else is served wherever it arrives.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from garrison.gateway.call import HttpRequest
from garrison.gateway.heads import reading_of
from garrison.gateway.worker import Worker


class _Params(msgspec.Struct):
    requestState: str | UnsetType = UNSET  # noqa: N815  (the protocol's spelling)


class _Retry(msgspec.Struct):
    params: _Params | UnsetType = UNSET


_retry = msgspec.json.Decoder(_Retry).decode


def elsewhere(request: HttpRequest, worker: Worker) -> int | None:
    """The number of the worker that should serve it; None where that is this one."""
    reading = reading_of(request.head)
    if reading.era == "legacy":
        token = reading.session
    elif b'"requestState"' in request.body:
        token = _state_of(request.body)
    else:
        return None
    number = worker.leads_to(token) if token else worker.number
    return None if number == worker.number else number


def _state_of(body: bytes | bytearray) -> str:
    try:
        params = _retry(body).params
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return params.requestState or "" if not isinstance(params, UnsetType) else ""
