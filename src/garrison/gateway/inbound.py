"""Reading an HTTP request into a call: which endpoint, which era, which message. The body is parsed once, here.

What is wrong is noted in `call.problem` and refused by the `admit` stage, so that only callers whom we know are
told details, and every refusal is on the record.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw

from garrison.gateway.call import Call
from garrison.gateway.refusals import ProtocolError, header_mismatch, unsupported_version
from garrison.gateway.sessions import Sessions
from garrison.kernel.errors import GarrisonError, NotFound
from garrison.protocol import codes, headers, methods
from garrison.protocol.messages import (
    Message,
    Params,
    decode_any,
    decode_message,
    encode,
    members,
    params_of,
    text,
)
from garrison.protocol.versions import DEFAULT_HTTP_VERSION, LEGACY_VERSIONS, MODERN_VERSIONS

STREAM_OPEN = "stream/open"
"""What a legacy GET is called in records: the client listens for what servers say unasked."""
SESSION_END = "session/end"
"""What a legacy DELETE is called in records."""

_VERBS = {"GET": STREAM_OPEN, "DELETE": SESSION_END}


class Inbound:
    """Reads calls; `sessions` opens their session ids."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def read(self, call: Call) -> None:
        """Fill in what the request says. Never raises: what is wrong is in `call.problem`."""
        try:
            call.presented_key = presented_key(call.request.headers)
            call.endpoint = endpoint_of(call.request.path)
            if call.request.verb == "POST":
                self._read_post(call)
            else:
                self._read_verb(call)
        except GarrisonError as error:
            call.problem = error

    def _read_verb(self, call: Call) -> None:
        sent = call.request.headers
        modern = sent.get(headers.VERSION) in MODERN_VERSIONS
        call.era = "modern" if modern else "legacy"
        call.method = _VERBS.get(call.request.verb, call.request.verb)
        if modern or call.request.verb not in _VERBS:
            allowed = "POST" if modern else "POST, GET, DELETE"
            message = f"{call.request.verb} is not allowed here"
            raise ProtocolError("protocol.verb", message, codes.INVALID_REQUEST, 405, allow=allowed)
        if call.method == STREAM_OPEN and not accepts(sent, "text/event-stream"):
            raise _not_acceptable("text/event-stream")
        self._read_session(call)

    def _read_post(self, call: Call) -> None:
        sent = call.request.headers
        check_media_types(sent)
        message = read_message(call.request.body)
        if message.id is not UNSET and message.id is not None:
            call.rpc_id = encode(message.id)
        if message.method is UNSET:
            call.method = "response"
        else:
            call.method = message.method
        call.params = _params(message)
        if sent.get(headers.VERSION) in MODERN_VERSIONS:
            call.era = "modern"
            self._read_modern(call)
        else:
            self._read_legacy(call)

    def _read_modern(self, call: Call) -> None:
        sent = call.request.headers
        call.version = sent[headers.VERSION]
        if call.rpc_id is None:
            return  # a modern client has nothing to notify; it is acknowledged and dropped
        meta = _meta(call.params)
        missing = [key for key in (methods.META_VERSION, methods.META_CAPABILITIES) if key not in meta]
        if missing:
            message = f"params._meta lacks {', '.join(missing)}"
            raise ProtocolError("protocol.envelope", message, codes.INVALID_PARAMS)
        _check_headers(call, meta)
        call.client_name = _name_of(meta.get(methods.META_CLIENT_INFO))

    def _read_legacy(self, call: Call) -> None:
        stated = call.request.headers.get(headers.VERSION)
        in_body = text(_meta(call.params), methods.META_VERSION)
        if stated is not None and stated not in LEGACY_VERSIONS:
            raise unsupported_version(stated)
        if in_body and call.method != methods.INITIALIZE:
            raise (
                header_mismatch("MCP-Protocol-Version") if in_body in MODERN_VERSIONS else unsupported_version(in_body)
            )
        if call.method == methods.INITIALIZE:
            call.client_name = _name_of(call.params.get("clientInfo"))
        else:
            self._read_session(call)
            call.version = stated or (call.session.version if call.session else DEFAULT_HTTP_VERSION)

    def _read_session(self, call: Call) -> None:
        token = call.request.headers.get(headers.SESSION, "")
        if not token:
            message = "the Mcp-Session-Id header is missing: send initialize first"
            raise ProtocolError("session.missing", message, codes.INVALID_REQUEST)
        session = self._sessions.open(token)
        if session is None or session.endpoint != call.endpoint:
            raise session_unknown()
        call.session = session
        call.client_name = session.client


def session_unknown() -> ProtocolError:
    """Also the answer to somebody else's session: whether it exists is nobody's business."""
    message = "the session is not known or has ended: send initialize again"
    return ProtocolError("session.unknown", message, codes.INVALID_REQUEST, 404)


def endpoint_of(path: str) -> str:
    """`""` for `/mcp`, the server's name for `/servers/NAME/mcp`. Raises `NotFound`."""
    if path == "/mcp":
        return ""
    parts = path.split("/")
    if len(parts) == 4 and parts[1] == "servers" and parts[3] == "mcp" and parts[2]:
        return parts[2]
    raise NotFound("endpoint.unknown", "there is no MCP endpoint at this path", "use /mcp or /servers/NAME/mcp")


def presented_key(sent: Mapping[str, str]) -> str:
    """The API key of a request: `Authorization: Bearer KEY` or `X-API-Key: KEY`; empty when there is none."""
    scheme, _, key = sent.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return sent.get("x-api-key", "").strip()


def read_message(body: bytes) -> Message:
    """Raises `ProtocolError` when the body is not one JSON-RPC 2.0 message."""
    try:
        message = decode_message(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _unreadable(body) from None
    if message.jsonrpc != "2.0" or not _is_whole(message):
        raise ProtocolError("protocol.message", "the body is not a JSON-RPC 2.0 message", codes.INVALID_REQUEST)
    return message


def _unreadable(body: bytes) -> ProtocolError:
    """No JSON at all, or JSON that is no message."""
    try:
        decode_any(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ProtocolError("protocol.json", "Parse error: the body is not valid JSON", codes.PARSE_ERROR)
    batch = body.lstrip()[:1] == b"["
    why = "batches are not supported" if batch else "the body is not a JSON-RPC request, notification or response"
    return ProtocolError("protocol.message", why, codes.INVALID_REQUEST)


def check_media_types(sent: Mapping[str, str]) -> None:
    """Raises `ProtocolError` unless JSON is sent and JSON is acceptable."""
    kind = sent.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = "the Content-Type must be application/json"
        raise ProtocolError("protocol.content_type", message, codes.INVALID_REQUEST, 415)
    if not accepts(sent, "application/json"):
        raise _not_acceptable("application/json")


def accepts(sent: Mapping[str, str], media_type: str) -> bool:
    accept = sent.get("accept", "*/*").lower()
    family = media_type.partition("/")[0]
    offers = {part.partition(";")[0].strip() for part in accept.split(",")}
    return not offers.isdisjoint({media_type, f"{family}/*", "*/*"})


def _is_whole(message: Message) -> bool:
    if message.method is not UNSET:
        return message.id is not None and bool(message.method)
    return message.id is not UNSET and (message.result is UNSET) != (message.error is UNSET)


def _params(message: Message) -> Params:
    try:
        return params_of(message)
    except (msgspec.MsgspecError, RecursionError):
        raise ProtocolError("protocol.params", "params must be an object", codes.INVALID_PARAMS) from None


def _meta(params: Params) -> Params:
    if "_meta" not in params:
        return {}
    try:
        return members(params["_meta"])
    except (msgspec.MsgspecError, RecursionError):
        raise ProtocolError("protocol.meta", "params._meta must be an object", codes.INVALID_PARAMS) from None


def _name_of(client_info: Raw | None) -> str:
    try:
        found = decode_any(client_info) if client_info is not None else None
    except (msgspec.MsgspecError, RecursionError):
        return ""
    name = found.get("name") if isinstance(found, dict) else ""
    return name[:100] if isinstance(name, str) else ""


def _check_headers(call: Call, meta: Params) -> None:
    """2026-07-28: what the headers say must be what the body says, or whoever routes by them is deceived."""
    sent = call.request.headers
    for name in (headers.VERSION, headers.METHOD, headers.NAME):
        if name in call.request.repeated:
            raise header_mismatch(name)
    if sent[headers.VERSION] != text(meta, methods.META_VERSION):
        raise header_mismatch("MCP-Protocol-Version")
    if sent.get(headers.METHOD) != call.method:
        raise header_mismatch("Mcp-Method")
    key = methods.NAME_PARAM.get(call.method)
    if key and key in call.params and headers.decode_value(sent.get(headers.NAME, "")) != text(call.params, key):
        raise header_mismatch("Mcp-Name")


def _not_acceptable(media_type: str) -> ProtocolError:
    return ProtocolError("protocol.accept", f"the client must accept {media_type}", codes.INVALID_REQUEST, 406)
