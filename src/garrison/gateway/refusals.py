"""The one table from our errors to JSON-RPC and HTTP, and the errors that the protocol itself defines."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from garrison.kernel.errors import Denied, GarrisonError, Invalid, Kind, Limited, NotFound, Unavailable
from garrison.protocol import codes
from garrison.protocol.messages import RpcError, raw
from garrison.protocol.versions import LEGACY_VERSIONS, MODERN_VERSIONS

MESSAGE_CHARS_MAX = 1000

RPC_CODE = {
    Kind.INVALID: codes.INVALID_PARAMS,
    Kind.UNAUTHENTICATED: codes.UNAUTHENTICATED,
    Kind.DENIED: codes.DENIED,
    Kind.NOT_FOUND: codes.INVALID_PARAMS,
    Kind.CONFLICT: codes.CONFLICT,
    Kind.LIMITED: codes.LIMITED,
    Kind.TIMEOUT: codes.TIMED_OUT,
    Kind.UNAVAILABLE: codes.UNAVAILABLE,
    Kind.UNSUPPORTED: codes.METHOD_NOT_FOUND,
    Kind.DEFECT: codes.INTERNAL_ERROR,
}

HTTP_STATUS = {Kind.UNAUTHENTICATED: 401, Kind.DENIED: 403, Kind.LIMITED: 429}
"""Kinds that every client must see in HTTP. All else is an answer to a well-formed request, and legacy clients take
any other status than 200 for a broken transport; for modern ones `MODERN_HTTP_STATUS` decides."""


class ProtocolError(Invalid):
    """A message that breaks the protocol: `rpc` and `status` are what the revision asks for."""

    def __init__(self, code: str, message: str, rpc: int, status: int = 400, data: Any = None, allow: str = "") -> None:
        super().__init__(code, message)
        self.rpc = rpc
        self.status = status
        self.data = data
        self.allow = allow


class Hidden(Denied):
    """Denied, for a reason that is on the record; the caller, who may not know that the thing is there, is `told` what
    anybody is told of a thing that is not."""

    def __init__(self, code: str, message: str, hint: str, told: GarrisonError) -> None:
        super().__init__(code, message, hint)
        self.told = told


class Busy(Unavailable):
    """Not now: HTTP 503. Nothing was done; `retry_after_s` is when to try again, `closing` on another connection."""

    def __init__(
        self, code: str, message: str, hint: str = "", retry_after_s: float = 1.0, *, closing: bool = False
    ) -> None:
        super().__init__(code, message, hint)
        self.retry_after_s = retry_after_s
        self.closing = closing


def unsupported_version(requested: str) -> ProtocolError:
    data = {"supported": [*MODERN_VERSIONS, *LEGACY_VERSIONS], "requested": requested[:40]}
    message = "Unsupported protocol version"
    return ProtocolError("protocol.version", message, codes.UNSUPPORTED_VERSION, 400, data)


def method_not_found(method: str) -> ProtocolError:
    return ProtocolError("protocol.method", f"Method not found: {method[:100]}", codes.METHOD_NOT_FOUND, 404)


def unknown(kind: str, name: str) -> NotFound:
    """The one answer for a tool, prompt or resource that is not there and for one that is not to be seen."""
    hint = f"list the {kind}s of this endpoint: nothing else can be used here"
    return NotFound(f"{kind}.unknown", f"Unknown {kind}: {name[:200]}", hint)


def header_mismatch(header: str) -> ProtocolError:
    message = f"the {header} header does not match the request's body"
    return ProtocolError("protocol.header_mismatch", message, codes.HEADER_MISMATCH)


def rpc_error(error: GarrisonError) -> RpcError:
    """The JSON-RPC error object: message and hint for people, the dotted code in `data` for programs."""
    if isinstance(error, ProtocolError):
        return RpcError(error.rpc, error.message, UNSET if error.data is None else raw(error.data))
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    data = {"code": error.code, "kind": error.kind.value, "hint": error.hint}
    if isinstance(error, (Limited, Busy)):
        data["retryAfterSeconds"] = f"{error.retry_after_s:.10g}"
    return RpcError(RPC_CODE[error.kind], message[:MESSAGE_CHARS_MAX], raw(data))
