"""At which worker a request's state lives; None where any will do, as for nearly all requests of modern clients.

| What | Where |
|---|---|
| a legacy session: its streams, its calls in flight, its own connections to servers | where it began |
| a call of a modern client that is parked | where it was parked |
| a modern client's own connection to a legacy server, its tasks, its subscriptions to resources | by its principal |
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType

from garrison.gateway.call import HttpRequest
from garrison.gateway.endpoints import Endpoints
from garrison.gateway.heads import HeadReading, is_transparent, reading_of
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.upstream import Upstream
from garrison.gateway.worker import Worker
from garrison.kernel.errors import NotFound
from garrison.protocol import methods

_OWN_CAPABILITY = tuple(f'"{name}"'.encode() for name in methods.ASKABLE)
_STATE = b'"requestState"'
_RESOURCES = b'"resourceSubscriptions"'


class _Params(msgspec.Struct):
    requestState: str | UnsetType = UNSET  # noqa: N815  (the protocol's spelling)


class _Retry(msgspec.Struct):
    params: _Params | UnsetType = UNSET


_retry = msgspec.json.Decoder(_Retry).decode


class Whereabouts:
    """Decides for one worker; looks, and changes nothing."""

    def __init__(
        self,
        worker: Worker,
        directory: Directory,
        endpoints: Endpoints,
        holder: Callable[[str], str] = lambda presented: presented,
    ) -> None:
        """`holder`: whose a key or token would be; a renewed one leads to the same worker."""
        self._worker = worker
        self._directory = directory
        self._endpoints = endpoints
        self._holder = holder

    def elsewhere(self, request: HttpRequest) -> int | None:
        """The number of the worker that should serve it; None where that is this one."""
        reading = reading_of(request.head)
        if reading.problem is not None:
            return None
        found = self._legacy(reading) if reading.era == "legacy" else self._modern(request, reading)
        return None if found == self._worker.number else found

    def is_plain(self, request: HttpRequest) -> bool:
        """Whether it is served wherever one with the same head was served before."""
        return _STATE not in request.body

    def _legacy(self, reading: HeadReading) -> int | None:
        return self._worker.leads_to(reading.session) if reading.session else None

    def _modern(self, request: HttpRequest, reading: HeadReading) -> int | None:
        body, method = request.body, reading.method or ""
        state = state_of(body) if _STATE in body else ""
        if state:
            return self._worker.leads_to(state)
        if method in methods.OF_TASKS or (method == methods.LISTEN and _RESOURCES in body):
            return self._of_principal(request, reading)
        upstream = self._upstream(reading, method)
        if upstream is not None and _keeps_state(upstream, body):
            return self._of_principal(request, reading)
        return None

    def _of_principal(self, request: HttpRequest, reading: HeadReading) -> int:
        if not reading.key and request.certificate is not None:
            return worker_of(request.certificate.id, self._worker.count)
        return worker_of(self._holder(reading.key), self._worker.count)

    def _upstream(self, reading: HeadReading, method: str) -> Upstream | None:
        """Whom the request is for, if its head says so."""
        if is_transparent(reading.endpoint):
            return self._directory.upstreams.get(reading.endpoint)
        endpoint = self._endpoints.find(reading.endpoint)
        if endpoint is None or not reading.name:
            return None
        try:
            if method == methods.TOOLS_CALL:
                return endpoint.named("tool", reading.name).upstream
            if method == methods.PROMPTS_GET:
                return endpoint.named("prompt", reading.name).upstream
            return endpoint.resource(reading.name)[0] if method == methods.RESOURCES_READ else None
        except NotFound:
            return None


def worker_of(principal: str, count: int) -> int:
    """The same worker for the same principal."""
    return zlib.crc32(principal.encode("utf-8", "replace")) % count + 1


def state_of(body: bytes | bytearray) -> str:
    """`params.requestState`; empty where there is none."""
    try:
        params = _retry(body).params
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return params.requestState or "" if not isinstance(params, UnsetType) else ""


def _keeps_state(upstream: Upstream, body: bytes | bytearray) -> bool:
    """Whether a modern client has a connection of its own to this server (`gateway/routing.py`: `owner_of`)."""
    connection, spec = upstream.connection, upstream.spec
    if upstream.refuses_legacy or connection is None or connection.info.era == "modern":
        return False
    isolated = spec.transport == "stdio" and spec.session == "isolated"
    return isolated or any(capability in body for capability in _OWN_CAPABILITY)
