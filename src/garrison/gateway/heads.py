"""What a request's head says, read once for each distinct head: endpoint, key, era, media types, session.

What is wrong with it is kept as the error to refuse every such request with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from garrison.gateway.refusals import ProtocolError, header_mismatch, unsupported_version
from garrison.kernel.errors import GarrisonError, NotFound
from garrison.protocol import codes, headers
from garrison.protocol.versions import LEGACY_VERSIONS, MODERN_VERSIONS, Era

STREAM_OPEN = "stream/open"
"""What a legacy GET is called in records: the client listens for what servers say unasked."""
SESSION_END = "session/end"
"""What a legacy DELETE is called in records."""

AGGREGATE = ""
"""The endpoint `/mcp`, as calls and sessions know it."""
_PROFILES = "profiles/"

_VERBS = {"GET": STREAM_OPEN, "DELETE": SESSION_END}
_OLDER = re.compile(r"((?:/servers/[^/]+|/profiles/[^/]+)?)/sse(?:/([A-Za-z0-9_-]+))?")
"""Paths of the older transport: the stream, and where to post to it."""
_ROUTING_HEADERS = {
    headers.VERSION: "MCP-Protocol-Version",
    headers.METHOD: "Mcp-Method",
    headers.NAME: "Mcp-Name",
}


@dataclass(slots=True, eq=False)
class Head:
    """A request's head, without its length. Header names are lower case; a repeated one is in `repeated`.

    Clients send the same head again and again, so the edge keeps it, and what it says is noted in it (`reading_of`),
    as is what has been decided about calls with it.
    """

    verb: str
    path: str
    headers: Mapping[str, str]
    repeated: tuple[str, ...] = ()
    keep_alive: bool = True
    reading: HeadReading | None = None
    flows: dict[tuple[str, str, Any], Any] = field(default_factory=dict)
    """What the fast path knows of calls with this head (`flows.Flow`), by the tool's name, the client's address
    and whom its certificate names."""


def reading_of(head: Head) -> HeadReading:
    """What a head says; read at the first time."""
    if head.reading is None:
        head.reading = HeadReading(head)
    return head.reading


class HeadReading:
    """`problem` refuses the request; `verb_method` is what a GET or DELETE is called; `version` is empty if unsaid."""

    __slots__ = (
        "accepts_stream",
        "endpoint",
        "era",
        "key",
        "method",
        "name",
        "older",
        "params",
        "problem",
        "session",
        "verb_method",
        "version",
    )

    def __init__(self, head: Head) -> None:
        sent = head.headers
        self.key = presented_key(sent)
        self.version = sent.get(headers.VERSION, "")
        self.era: Era = "modern" if self.version in MODERN_VERSIONS else "legacy"
        self.session = sent.get(headers.SESSION, "")
        self.accepts_stream = accepts(sent, "text/event-stream")
        self.verb_method = "" if head.verb == "POST" else _VERBS.get(head.verb, head.verb)
        self.method = sent.get(headers.METHOD)
        self.name = headers.decode_value(sent.get(headers.NAME, ""))
        self.params = {
            name: headers.decode_value(value) for name, value in sent.items() if name.startswith(headers.PARAM_PREFIX)
        }
        """`Mcp-Param-*`, decoded; None where a wrapping is malformed."""
        self.endpoint = ""
        self.problem: GarrisonError | None = None
        older = _OLDER.fullmatch(head.path)
        self.older = older is not None
        """Whether it is for the older transport, HTTP+SSE; then the session is in the path."""
        if older is not None:
            self.session, self.accepts_stream = older[2] or "", True
        try:
            self.endpoint = endpoint_of(f"{older[1]}/mcp" if older is not None else head.path)
            self._check(head)
        except GarrisonError as error:
            self.problem = error

    def _check(self, head: Head) -> None:
        if self.older:
            self._check_older(head.verb)
        if head.verb == "POST":
            check_media_types(head.headers)
        else:
            self._check_verb(head.verb)
        if self.version and self.era == "legacy" and self.version not in LEGACY_VERSIONS:
            raise unsupported_version(self.version)
        if self.era == "modern":
            for name in head.repeated:
                if name in _ROUTING_HEADERS:  # readers of the first and of the last copy would disagree
                    raise header_mismatch(_ROUTING_HEADERS[name])

    def _check_older(self, verb: str) -> None:
        allowed = "POST" if self.session else "GET"
        if verb != allowed:
            raise ProtocolError(
                "protocol.verb", f"{verb} is not allowed here", codes.INVALID_REQUEST, 405, allow=allowed
            )
        if self.era == "modern":
            raise unsupported_version(self.version)

    def _check_verb(self, verb: str) -> None:
        if self.era == "modern" or verb not in _VERBS:
            allowed = "POST" if self.era == "modern" else "POST, GET, DELETE"
            raise ProtocolError(
                "protocol.verb", f"{verb} is not allowed here", codes.INVALID_REQUEST, 405, allow=allowed
            )
        if self.verb_method == STREAM_OPEN and not self.accepts_stream:
            raise _not_acceptable("text/event-stream")


def endpoint_of(path: str) -> str:
    """`""` for `/mcp`, the server's name for `/servers/NAME/mcp`, `profiles/NAME` for a profile. Raises `NotFound`."""
    if path == "/mcp":
        return AGGREGATE
    parts = path.split("/")
    if len(parts) == 4 and parts[3] == "mcp" and parts[2]:
        if parts[1] == "servers":
            return parts[2]
        if parts[1] == "profiles":
            return profile_endpoint(parts[2])
    hint = "use /mcp, /servers/NAME/mcp or /profiles/NAME/mcp"
    raise NotFound("endpoint.unknown", "there is no MCP endpoint at this path", hint)


def profile_endpoint(name: str) -> str:
    """No server's name has a slash, so that none can be taken for a profile."""
    return _PROFILES + name


def profile_of(endpoint: str) -> str | None:
    """The name of the profile whose endpoint it is; None for any other."""
    return endpoint.removeprefix(_PROFILES) if endpoint.startswith(_PROFILES) else None


def is_transparent(endpoint: str) -> bool:
    """Whether it is one server's own endpoint, where nothing is renamed."""
    return endpoint != AGGREGATE and not endpoint.startswith(_PROFILES)


def presented_key(sent: Mapping[str, str]) -> str:
    """The API key of a request: `Authorization: Bearer KEY` or `X-API-Key: KEY`; empty when there is none."""
    scheme, _, key = sent.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return sent.get("x-api-key", "").strip()


def check_media_types(sent: Mapping[str, str]) -> None:
    """Raises `ProtocolError` unless JSON is sent and JSON is acceptable."""
    kind = sent.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = "the Content-Type must be application/json"
        raise ProtocolError("protocol.content_type", message, codes.INVALID_REQUEST, 415)
    if sent.get("content-encoding", "identity").strip().lower() != "identity":
        message = "compressed requests are not read here; leave out Content-Encoding"
        raise ProtocolError("protocol.content_encoding", message, codes.INVALID_REQUEST, 415)
    if not accepts(sent, "application/json"):
        raise _not_acceptable("application/json")


def accepts(sent: Mapping[str, str], media_type: str) -> bool:
    accept = sent.get("accept", "*/*").lower()
    family = media_type.partition("/")[0]
    offers = {part.partition(";")[0].strip() for part in accept.split(",")}
    return not offers.isdisjoint({media_type, f"{family}/*", "*/*"})


def _not_acceptable(media_type: str) -> ProtocolError:
    return ProtocolError("protocol.accept", f"the client must accept {media_type}", codes.INVALID_REQUEST, 406)
