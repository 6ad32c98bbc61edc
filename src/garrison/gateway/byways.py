"""Requests that no tool's, prompt's or resource's name leads to: subscriptions, tasks, methods of extensions.

A method that we do not know belongs to an extension, and goes to the one server that has negotiated an extension
which the client has declared too. Where several have, the client says which in `params._meta["garrison/server"]`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from garrison.gateway import routing
from garrison.gateway.call import Call, Target
from garrison.gateway.circumstances import how
from garrison.gateway.endpoints import Endpoint
from garrison.gateway.refusals import method_not_found
from garrison.gateway.subscriptions import Subscriptions
from garrison.gateway.tasks import Tasks
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.upstream import Upstream
from garrison.kernel.errors import Invalid, NotFound
from garrison.policy.authoriser import Authoriser
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, members, raw, text

META_SERVER = "garrison/server"
_NEVER_MODERN = methods.REMOVED_IN_MODERN | {methods.TASKS_LIST, methods.TASKS_RESULT}
_NEVER_LEGACY = methods.ONLY_IN_MODERN | {methods.TASKS_UPDATE}
_HOLDERS = ("extensions", "experimental")


class Byways:
    def __init__(
        self, directory: Directory, authoriser: Authoriser, subscriptions: Subscriptions, tasks: Tasks
    ) -> None:
        self._directory = directory
        self._authoriser = authoriser
        self._subscriptions = subscriptions
        self._tasks = tasks

    def route(self, call: Call, endpoint: Endpoint | None) -> None:
        """`endpoint`: None on a server's transparent one. Raises typed errors; an unknown method leads nowhere."""
        if call.rpc_id is None or call.method in _never(call):
            raise method_not_found(call.method)
        if call.method in methods.OF_TASKS:
            self._tasks.route(call)
        elif call.method == methods.SUBSCRIBE and call.session is not None:
            self._subscribe(call, endpoint)
        elif endpoint is not None:
            self._extension(call, endpoint)
        else:
            raise method_not_found(call.method)

    def _subscribe(self, call: Call, endpoint: Endpoint | None) -> None:
        given = text(call.params, "uri")
        if not given:
            raise Invalid("message.unnamed", f"{call.method} needs params.uri, a string")
        if endpoint is None:
            upstream, uri = self._directory.get(call.endpoint), given
        else:
            upstream, uri = endpoint.resource(given)
        call.upstream, call.target = upstream, Target("resource", upstream.name, uri)
        call.owner = routing.owner_of(call, upstream)
        call.answer = self._subscriptions.subscribe

    def _extension(self, call: Call, endpoint: Endpoint) -> None:
        declared = declared_extensions(call)
        able = [one for one in endpoint.upstreams.values() if self._may(call, one) and offered_by(one) & declared]
        upstream = self._chosen(call, able)
        call.upstream, call.target = upstream, Target("server", upstream.name)
        call.owner = routing.owner_of(call, upstream)

    def _chosen(self, call: Call, able: list[Upstream]) -> Upstream:
        named = _take_server(call)
        if named:
            found = next((one for one in able if one.name == named), None)
            if found is None:
                why = f"server {named[:64]!r} offers no extension that this client has declared"
                raise NotFound("extension.not_negotiated", why, "both have to name it in their capabilities")
            return found
        if not able:
            raise method_not_found(call.method)
        if len(able) > 1:
            names = ", ".join(one.name for one in able[:10])
            why = f"{call.method[:100]} could be for any of the servers {names}"
            raise Invalid("method.ambiguous", why, f"name one in params._meta[{META_SERVER!r}], or use its endpoint")
        return able[0]

    def _may(self, call: Call, upstream: Upstream) -> bool:
        assert call.principal is not None
        return self._authoriser.decide(call.principal, "server", upstream.name, how=how(call)).allowed


def declared_extensions(call: Call) -> set[str]:
    """The extensions that the client of this call has declared, in its session or with this very request."""
    if call.session is not None:
        return _names(call.session.capabilities)
    try:
        return _names(decode_any(members(call.params["_meta"])[methods.META_CAPABILITIES]))
    except (KeyError, msgspec.MsgspecError, RecursionError):
        return set()


def offered_by(upstream: Upstream) -> set[str]:
    """The extensions that a server has declared, as long as it is there."""
    return _names(upstream.connection.info.capabilities) if upstream.connection is not None else set()


def _names(capabilities: Any) -> set[str]:
    if not isinstance(capabilities, dict):
        return set()
    return {name for key in _HOLDERS if isinstance(capabilities.get(key), dict) for name in capabilities[key]}


def _take_server(call: Call) -> str:
    """The server that the client names; the server itself is not told."""
    try:
        meta = members(call.params["_meta"])
    except (KeyError, msgspec.MsgspecError, RecursionError):
        return ""
    named = text(meta, META_SERVER)
    if named:
        call.params["_meta"] = raw({key: value for key, value in meta.items() if key != META_SERVER})
    return named


def _never(call: Call) -> frozenset[str]:
    """Methods of MCP itself that do not exist in the client's era."""
    return _NEVER_MODERN if call.era == "modern" else _NEVER_LEGACY
