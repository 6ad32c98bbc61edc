"""What the gateway answers itself: the handshakes, the aggregate's lists, and messages that end here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from msgspec import UNSET, Raw

from garrison.gateway import aggregate, lapses
from garrison.gateway.backchannel import BackChannel
from garrison.gateway.call import Call, Outcome
from garrison.gateway.circumstances import how
from garrison.gateway.cursors import Cursors
from garrison.gateway.endpoints import Endpoint
from garrison.gateway.inflight import InFlight
from garrison.gateway.lists import KeptLists, start_of
from garrison.gateway.seen import Seen
from garrison.gateway.sessions import Sessions
from garrison.gateway.streams import Streams
from garrison.gateway.upstreams.definition import KIND
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.lapse import Lapse
from garrison.gateway.upstreams.own import OwnConnections
from garrison.policy.authoriser import Authoriser
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, encode, raw, text
from garrison.protocol.versions import LEGACY_VERSIONS, MODERN_VERSIONS, negotiate

DISCOVER_TTL_MS = 0


class Answers:
    """`server_info`: our `serverInfo`, for the aggregate."""

    def __init__(
        self,
        directory: Directory,
        seen: Seen,
        authoriser: Authoriser,
        sessions: Sessions,
        streams: Streams,
        in_flight: InFlight,
        back_channel: BackChannel,
        own: OwnConnections,
        lists: KeptLists,
        cursors: Cursors,
        server_info: Mapping[str, str],
    ) -> None:
        self._directory = directory
        self._seen = seen
        self._authoriser = authoriser
        self._sessions = sessions
        self._streams = streams
        self._in_flight = in_flight
        self._back_channel = back_channel
        self._own = own
        self._lists = lists
        self._cursors = cursors
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
                if "roots" in connection.declared:
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
        return self._listed(call, methods.TOOLS_LIST)

    def list_prompts(self, call: Call) -> Outcome:
        return self._listed(call, methods.PROMPTS_LIST)

    def list_resources(self, call: Call) -> Outcome:
        return self._listed(call, methods.RESOURCES_LIST)

    def list_templates(self, call: Call) -> Outcome:
        return self._listed(call, methods.TEMPLATES_LIST)

    def _entries(self, call: Call, method: str) -> Iterable[Raw]:
        """What this principal may use, of all servers that the endpoint shows, in the catalog's order."""
        principal, kind = call.principal, KIND[method]
        assert principal is not None
        circumstances, decide = how(call), self._authoriser.decide
        for upstream, definition, body in self._endpoint(call).entries(method):
            if decide(principal, kind, upstream.name, definition.name, circumstances, definition.hints).allowed:
                yield body

    def _endpoint(self, call: Call) -> Endpoint:
        """The one that shows several servers, and that `route` has found to be there."""
        found = self._seen.endpoint(call)
        assert found is not None
        return found

    def _listed(self, call: Call, method: str) -> Outcome:
        """One page. Principals with the same roles see the same, so they share what was encoded."""
        assert call.principal is not None
        seers = self._authoriser.whose(call.principal, how(call)) or call.id
        for upstream in self._endpoint(call).upstreams.values():
            upstream.look_again(method)
        lists = (upstream.lists[method] for upstream in self._directory.upstreams.values())
        sources = (self._directory.edition, self._authoriser.edition, *lists)
        whose = (call.endpoint, seers, self._seen.whose(call))
        entries = partial(self._entries, call, method)
        holder = (call.principal.id, call.endpoint, method)
        start = start_of(self._cursors.opened(call.params, *holder))
        page = self._cursors.sealed(self._lists.page(method, call.era, whose, sources, start, entries), *holder)
        return Outcome(result=lapses.marked(page, self._lapses(call, method)))

    def _lapses(self, call: Call, method: str) -> dict[str, Lapse]:
        """The servers that the caller may know of and whose part of this list is not fresh."""
        assert call.principal is not None
        found = {name: upstream.lapse(method) for name, upstream in self._endpoint(call).upstreams.items()}
        return {
            name: lapse
            for name, lapse in found.items()
            if lapse is not None and self._authoriser.decide(call.principal, "server", name, how=how(call)).allowed
        }

    def _self_description(self, call: Call) -> dict[str, Any]:
        """Capabilities and instructions: a server's own on its transparent endpoint, all servers' on the aggregate."""
        if call.upstream is not None:
            if call.connection is not None:
                info = call.connection.info
                told = call.upstream.pins.instructions(call.upstream.name, info.instructions)
                return {"capabilities": info.capabilities, "instructions": told}
            info = call.upstream.live().info
            offered = aggregate.passed_on(info.capabilities, call.era)
            told = call.upstream.pins.instructions(call.upstream.name, info.instructions)
            return {"capabilities": offered, "instructions": told}
        endpoint = self._endpoint(call)
        known = {name: upstream.info for name, upstream in endpoint.upstreams.items() if upstream.info is not None}
        pins = self._directory.pins
        shown = {name: pins.instructions(name, info.instructions) for name, info in known.items()}
        return {
            "capabilities": aggregate.capabilities([info.capabilities for info in known.values()], call.era),
            "instructions": aggregate.instructions(shown, endpoint.view.starts, endpoint.view.description),
        }

    def _info(self, call: Call) -> Raw:
        return call.upstream.live().info.server if call.upstream is not None else self._server_info
