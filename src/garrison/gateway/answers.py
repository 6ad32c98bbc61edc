"""What the gateway answers itself: the handshakes, the aggregate's lists, and messages that end here."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import UNSET, Raw

from garrison.gateway import aggregate, bridge
from garrison.gateway.backchannel import BackChannel
from garrison.gateway.call import Call, Outcome
from garrison.gateway.inflight import InFlight
from garrison.gateway.sessions import Sessions
from garrison.gateway.streams import Streams
from garrison.gateway.upstreams.definition import Definition
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections
from garrison.gateway.upstreams.upstream import Upstream
from garrison.identity.principals import Principal
from garrison.identity.roles import Authoriser
from garrison.kernel.errors import Invalid
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, encode, raw, text
from garrison.protocol.versions import LEGACY_VERSIONS, MODERN_VERSIONS, negotiate

PAGE_ITEMS = 1000
DISCOVER_TTL_MS = 0
_PASSED_ON = ("tools", "prompts", "resources", "completions")
_CURSOR_CHARS_MAX = 64


class Answers:
    """`server_info`: our `serverInfo`, for the aggregate."""

    def __init__(
        self,
        directory: Directory,
        authoriser: Authoriser,
        sessions: Sessions,
        streams: Streams,
        in_flight: InFlight,
        back_channel: BackChannel,
        own: OwnConnections,
        server_info: Mapping[str, str],
    ) -> None:
        self._directory = directory
        self._authoriser = authoriser
        self._sessions = sessions
        self._streams = streams
        self._in_flight = in_flight
        self._back_channel = back_channel
        self._own = own
        self._server_info = raw(dict(server_info))

    def begin_session(self, call: Call) -> None:
        """A legacy client says hello; what it agrees on here goes into its session id."""
        assert call.principal is not None
        call.version = negotiate(text(call.params, "protocolVersion"))
        declared = decode_any(call.params["capabilities"]) if "capabilities" in call.params else {}
        capabilities = declared if isinstance(declared, dict) else {}
        call.session = self._sessions.begin(
            call.principal.id, call.endpoint, call.version, call.client_name, capabilities
        )

    def initialize(self, call: Call) -> Outcome:
        assert call.session is not None
        call.session_id = self._sessions.seal(call.session)
        result = {"protocolVersion": call.version, **self._self_description(call), "serverInfo": self._info(call)}
        return Outcome(result=encode(result))

    def discover(self, call: Call) -> Outcome:
        """The modern way to ask the same."""
        result = {
            "resultType": "complete",
            "supportedVersions": [*MODERN_VERSIONS, *LEGACY_VERSIONS],
            **self._self_description(call),
            "ttlMs": DISCOVER_TTL_MS,
            "cacheScope": "private",
            "_meta": {methods.META_SERVER_INFO: self._info(call)},
        }
        return Outcome(result=encode(result))

    def empty(self, call: Call) -> Outcome:
        """`ping`, and settings that end here."""
        return Outcome(result=raw({}))

    def accepted(self, call: Call) -> Outcome:
        """Notifications and responses: acknowledged; a cancellation finds its call, a response its question."""
        if call.session is None or call.message is None:
            return Outcome()
        if call.method == methods.CANCELLED and "requestId" in call.params:
            self._in_flight.cancel(call.session.id, bytes(call.params["requestId"]))
        elif call.method == methods.ROOTS_CHANGED:
            for connection in self._own.of(call.session.id):
                connection.notify(methods.ROOTS_CHANGED)
        elif call.message.method is UNSET:
            self._back_channel.answered(call.session.id, call.message)
        return Outcome()

    def end_session(self, call: Call) -> Outcome:
        assert call.session is not None
        self._sessions.end(call.session)
        self._own.end(call.session.id)
        self._streams.close_all(call.session.id)
        return Outcome()

    def list_tools(self, call: Call) -> Outcome:
        return self._listed(call, methods.TOOLS_LIST, self._entries(call, methods.TOOLS_LIST, "tool"))

    def list_prompts(self, call: Call) -> Outcome:
        return self._listed(call, methods.PROMPTS_LIST, self._entries(call, methods.PROMPTS_LIST, "prompt"))

    def list_resources(self, call: Call) -> Outcome:
        return self._listed(call, methods.RESOURCES_LIST, self._entries(call, methods.RESOURCES_LIST, "resource"))

    def list_templates(self, call: Call) -> Outcome:
        return self._listed(call, methods.TEMPLATES_LIST, self._entries(call, methods.TEMPLATES_LIST, "resource"))

    def _entries(self, call: Call, method: str, kind: str) -> Iterable[Raw]:
        """What this principal may use, of all servers, in the catalog's order; a URI counts for its first owner."""
        assert call.principal is not None
        seen: set[str] = set()
        for upstream in self._directory.upstreams.values():
            for definition in upstream.lists[method].values():
                if not self._allowed(call.principal, kind, upstream, definition):
                    continue
                if kind in ("tool", "prompt"):
                    yield definition.renamed(aggregate.join(upstream.name, definition.name))
                elif definition.name not in seen:
                    seen.add(definition.name)
                    yield definition.body

    def _allowed(self, principal: Principal, kind: Any, upstream: Upstream, definition: Definition) -> bool:
        return self._authoriser.decide(principal, kind, upstream.name, definition.name).allowed

    def _listed(self, call: Call, method: str, entries: Iterable[Raw]) -> Outcome:
        """One page. The cursor is the gateway's own: the number of entries that were given out."""
        start = _start_of(call)
        items = list(entries)
        result: dict[str, Any] = {methods.LIST_MEMBER[method]: items[start : start + PAGE_ITEMS]}
        if start + PAGE_ITEMS < len(items):
            result["nextCursor"] = urlsafe_b64encode(str(start + PAGE_ITEMS).encode()).decode()
        content = encode(result)
        return Outcome(result=bridge.modern_result(content, method) if call.era == "modern" else content)

    def _self_description(self, call: Call) -> dict[str, Any]:
        """Capabilities and instructions: a server's own on its transparent endpoint, all servers' on the aggregate."""
        if call.upstream is not None:
            if call.connection is not None:
                info = call.connection.info
                return {"capabilities": info.capabilities, "instructions": info.instructions}
            info = call.upstream.live().info
            offered = {
                kind: _without_subscribe(info.capabilities[kind]) for kind in _PASSED_ON if kind in info.capabilities
            }
            return {"capabilities": offered, "instructions": info.instructions}
        live = {up.name: up.connection.info for up in self._directory.upstreams.values() if up.connection is not None}
        return {
            "capabilities": aggregate.capabilities(info.capabilities for info in live.values()),
            "instructions": aggregate.instructions({name: info.instructions for name, info in live.items()}),
        }

    def _info(self, call: Call) -> Raw:
        return call.upstream.live().info.server if call.upstream is not None else self._server_info


def _without_subscribe(capability: Any) -> Any:
    """Subscriptions to single resources are not passed on yet, so they are not offered."""
    if not isinstance(capability, dict):
        return {}
    return {key: value for key, value in capability.items() if key != "subscribe"}


def _start_of(call: Call) -> int:
    cursor = call.params.get("cursor")
    if cursor is None:
        return 0
    try:
        token = decode_any(cursor)
        start = int(urlsafe_b64decode(token[:_CURSOR_CHARS_MAX])) if isinstance(token, str) else -1
    except ValueError:
        start = -1
    if start < 0:
        raise Invalid("cursor.invalid", "the cursor is not one of this gateway's", "start again without a cursor")
    return start
