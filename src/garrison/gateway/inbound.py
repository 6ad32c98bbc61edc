"""Reading an HTTP request into a call: which endpoint, which era, which message. The body is parsed once, here.

What is wrong is noted in `call.problem` and refused by the `admit` stage, so that only callers whom we know are
told details, and every refusal is on the record.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw

from garrison.gateway import unanswered
from garrison.gateway.call import Call
from garrison.gateway.heads import HeadReading, reading_of
from garrison.gateway.refusals import ProtocolError, header_mismatch, unsupported_version
from garrison.gateway.sessions import Sessions
from garrison.kernel.errors import GarrisonError
from garrison.protocol import codes, methods, wellformed
from garrison.protocol.messages import (
    EMPTY,
    Id,
    Message,
    Params,
    decode_any,
    decode_message,
    encode,
    members,
    params_of,
    text,
)
from garrison.protocol.versions import DEFAULT_HTTP_VERSION, MODERN_VERSIONS

METAS_MAX = 1024
META_BYTES_MAX = 1024
ID_BYTES_MAX = 1024
"""An id comes back with every answer, errors included, which are to be small."""

_FIRST_BYTE = {methods.META_VERSION: ord('"'), methods.META_CAPABILITIES: ord("{")}
"""What a modern client has to say of itself: a text and an object."""


_ENVELOPE = frozenset(Message.__struct_fields__)
_JUDGED = frozenset({"name", "arguments", "uri", "cursor", "_meta"})
"""Members of params that decisions are made by."""


class _MetaReading:
    """What a modern client says of itself in each request."""

    __slots__ = ("client", "missing", "version")

    def __init__(self, meta: Params) -> None:
        self.missing = [
            key for key, first in _FIRST_BYTE.items() if key not in meta or memoryview(meta[key])[0] != first
        ]
        self.version = text(meta, methods.META_VERSION)
        self.client = _name_of(meta.get(methods.META_CLIENT_INFO))


class Inbound:
    """Reads calls; `sessions` opens their session ids."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._metas: dict[bytes, _MetaReading] = {}

    def read(self, call: Call) -> None:
        """Fill in what the request says. Never raises: what is wrong is in `call.problem`."""
        reading = reading_of(call.request.head)
        call.presented_key = reading.key
        call.endpoint = reading.endpoint
        call.era = reading.era
        try:
            if reading.verb_method:
                call.method = reading.verb_method
                self._read_bodiless(call, reading)
            else:
                self._read_message(call, reading)
        except GarrisonError as error:
            call.problem = error

    def _read_bodiless(self, call: Call, reading: HeadReading) -> None:
        if reading.problem is not None:
            raise reading.problem
        if not reading.older:  # there a stream is what opens a session
            self._open_session(call, reading)

    def _read_message(self, call: Call, reading: HeadReading) -> None:
        if reading.problem is not None and not isinstance(reading.problem, ProtocolError):
            raise reading.problem
        message = call.message = read_message(call.request.body)
        if message.id is not UNSET and message.id is not None and message.method is not UNSET:
            call.rpc_id = _checked_id(message.id)
        _check_form(call.request.body)
        call.method = "response" if message.method is UNSET else message.method
        if call.rpc_id is None:  # a posted response has the id of our question, and gets no answer
            unanswered.check(message, call.request.body)
        if reading.problem is not None:
            raise reading.problem
        call.params = _params(message)
        if call.era == "modern":
            self._read_modern(call, reading)
        else:
            self._read_legacy(call, reading)

    def _read_modern(self, call: Call, reading: HeadReading) -> None:
        call.version = reading.version
        if call.rpc_id is None:
            unanswered.check_modern(call.method, reading.method)
            _meta(call.params)
            return  # a modern client has nothing to notify; it is acknowledged and dropped
        meta = self._meta_reading(call.params)
        if meta.missing:
            message = f"params._meta lacks {', '.join(meta.missing)}, or they are of another type"
            raise ProtocolError("protocol.envelope", message, codes.INVALID_PARAMS)
        _check_headers(call, meta.version, reading)
        call.client_name = meta.client

    def _meta_reading(self, params: Params) -> _MetaReading:
        """What `_meta` says; clients repeat theirs, so what its bytes say is remembered."""
        sent = params.get("_meta")
        found = self._metas.get(bytes(sent)) if sent is not None else None
        if found is None:
            found = _MetaReading(_meta(params))
            if len(self._metas) >= METAS_MAX:
                self._metas.clear()
            if sent is not None and len(memoryview(sent)) <= META_BYTES_MAX:
                self._metas[bytes(sent)] = found
        return found

    def _read_legacy(self, call: Call, reading: HeadReading) -> None:
        if call.method == methods.INITIALIZE:
            call.client_name = _name_of(call.params.get("clientInfo"))
            _check_capabilities(call.params)
            return
        in_body = text(_meta(call.params), methods.META_VERSION)
        if in_body:
            known = in_body in MODERN_VERSIONS
            raise header_mismatch("MCP-Protocol-Version") if known else unsupported_version(in_body)
        self._open_session(call, reading)
        call.version = reading.version or (call.session.version if call.session else DEFAULT_HTTP_VERSION)

    def _open_session(self, call: Call, reading: HeadReading) -> None:
        if not reading.session:
            message = "the Mcp-Session-Id header is missing: send initialize first"
            raise ProtocolError("session.missing", message, codes.INVALID_REQUEST)
        session = self._sessions.open(reading.session)
        if session is None or session.endpoint != call.endpoint:
            raise session_unknown()
        call.session = session
        call.client_name = session.client


def session_unknown() -> ProtocolError:
    """Also the answer to somebody else's session: whether it exists is nobody's business."""
    message = "the session is not known or has ended: send initialize again"
    return ProtocolError("session.unknown", message, codes.INVALID_REQUEST, 404)


def read_message(body: bytes | bytearray) -> Message:
    """Raises `ProtocolError` when the body is not one JSON-RPC 2.0 message."""
    try:
        message = decode_message(body)
        if not body.isascii():
            body.decode()  # raw parts are forwarded unread: they must be UTF-8 at least
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _unreadable(body) from None
    if message.jsonrpc != "2.0" or not _is_whole(message):
        raise ProtocolError("protocol.message", "the body is not a JSON-RPC 2.0 message", codes.INVALID_REQUEST)
    return message


def _check_form(body: bytes | bytearray) -> None:
    """The envelope has been read; here the whole is looked at, what nobody reads included."""
    flaw = wellformed.flaw(body)
    if flaw:
        raise ProtocolError("protocol.ambiguous", f"the body cannot be taken: {flaw}", codes.INVALID_REQUEST)
    _check_spelling(members(body), _ENVELOPE, "the body")


def _check_spelling(found: Params, known: frozenset[str], where: str) -> None:
    """Some servers fold case: to them `Name` beside `name` would be the tool that nobody judged."""
    name = wellformed.folded(found, known)
    if name is not None:
        message = f"{where} has a member {name[:100]!r}, which could be taken for {name.lower()[:100]!r}"
        raise ProtocolError("protocol.ambiguous", message, codes.INVALID_REQUEST)


def _unreadable(body: bytes | bytearray) -> ProtocolError:
    """No JSON at all, or JSON that is no message."""
    try:
        decode_any(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ProtocolError("protocol.json", "Parse error: the body is not valid JSON", codes.PARSE_ERROR)
    batch = body.lstrip()[:1] == b"["
    why = "batches are not supported" if batch else "the body is not a JSON-RPC request, notification or response"
    return ProtocolError("protocol.message", why, codes.INVALID_REQUEST)


def _checked_id(found: Id) -> bytes:
    written = encode(found)
    if len(written) > ID_BYTES_MAX:
        message = f"the id is larger than {ID_BYTES_MAX} bytes"
        raise ProtocolError("protocol.id", message, codes.INVALID_REQUEST)
    return written


def _is_whole(message: Message) -> bool:
    if message.method is not UNSET:
        one_kind = message.result is UNSET and message.error is UNSET
        return message.id is not None and bool(message.method) and one_kind
    return message.id is not UNSET and (message.result is UNSET) != (message.error is UNSET)


def _params(message: Message) -> Params:
    try:
        params = params_of(message)
    except (msgspec.MsgspecError, RecursionError):
        raise ProtocolError("protocol.params", "params must be an object", codes.INVALID_PARAMS) from None
    _check_spelling(params, _JUDGED, "params")
    return params


def _meta(params: Params) -> Params:
    if "_meta" not in params:
        return {}
    try:
        return members(params["_meta"])
    except (msgspec.MsgspecError, RecursionError):
        raise ProtocolError("protocol.meta", "params._meta must be an object", codes.INVALID_PARAMS) from None


def _check_capabilities(params: Params) -> None:
    """They are kept in the session, so they must be readable: not every number is."""
    try:
        decode_any(params.get("capabilities", EMPTY))
    except (msgspec.MsgspecError, RecursionError):
        message = "params.capabilities cannot be read"
        raise ProtocolError("protocol.capabilities", message, codes.INVALID_PARAMS) from None


def _begins(found: Raw | None, byte: int) -> bool:
    return found is not None and memoryview(found)[0] == byte


def _name_of(client_info: Raw | None) -> str:
    try:
        found = decode_any(client_info) if client_info is not None else None
    except (msgspec.MsgspecError, RecursionError):
        return ""
    name = found.get("name") if isinstance(found, dict) else ""
    return name[:100] if isinstance(name, str) else ""


def _check_headers(call: Call, version: str, reading: HeadReading) -> None:
    """2026-07-28: what the headers say must be what the body says, or whoever routes by them is deceived."""
    if reading.version != version:
        raise header_mismatch("MCP-Protocol-Version")
    if reading.method != call.method:
        raise header_mismatch("Mcp-Method")
    key = methods.NAME_PARAM.get(call.method)
    if key and key in call.params and reading.name != text(call.params, key):
        raise header_mismatch("Mcp-Name")
