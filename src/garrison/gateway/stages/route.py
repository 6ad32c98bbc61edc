"""route: which server is meant, and whether it or the gateway itself has to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from garrison.catalog.shown_names import Listed
from garrison.gateway import routing
from garrison.gateway.answers import Answers
from garrison.gateway.byways import Byways
from garrison.gateway.call import Call, Target
from garrison.gateway.endpoints import Endpoint
from garrison.gateway.heads import profile_of
from garrison.gateway.parked import ParkedCalls
from garrison.gateway.refusals import unknown
from garrison.gateway.seen import Seen
from garrison.gateway.stage import Stage, Step
from garrison.gateway.streams import Streams
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.upstream import Upstream
from garrison.kernel.errors import Invalid, NotFound
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, raw, text

_KINDS: dict[str, Listed] = {
    methods.TOOLS_CALL: "tool",
    methods.PROMPTS_GET: "prompt",
    methods.RESOURCES_READ: "resource",
}


class Route(Stage):
    name = "route"
    needs = frozenset({"message"})
    gives = frozenset({"target"})

    """`more`: answers of our own that are not `answers`' or `streams`'."""

    def __init__(
        self,
        directory: Directory,
        seen: Seen,
        answers: Answers,
        streams: Streams,
        parked: ParkedCalls,
        byways: Byways,
        more: Mapping[routing.Own, Any],
    ) -> None:
        self._directory = directory
        self._seen = seen
        self._endpoints = seen.endpoints
        self._answers = answers
        self._parked = parked
        self._byways = byways
        self._own: dict[routing.Own, Any] = {
            "open_legacy": streams.open_legacy,
            "open_modern": streams.open_modern,
            "initialize": answers.initialize,
            "discover": answers.discover,
            "empty": answers.empty,
            "accepted": answers.accepted,
            "end_session": answers.end_session,
            "list_tools": answers.list_tools,
            "list_prompts": answers.list_prompts,
            "list_resources": answers.list_resources,
            "list_templates": answers.list_templates,
            **more,
        }

    def enter(self, call: Call) -> Step:
        if call.method == methods.INITIALIZE:
            self._answers.begin_session(call)
        endpoint = self._seen.endpoint(call)
        shape = {"is_aggregate": endpoint is not None, "owned": endpoint is None and self._is_owned(call)}
        own = routing.own_answer(call.method, call.era, is_request=call.rpc_id is not None, **shape)
        if own is not None:
            self._route_to_self(call, own, endpoint)
        elif not routing.is_known(call.method, call.era, **shape):
            self._byways.route(call, endpoint)
            return None
        elif endpoint is None:
            self._route_to_endpoint(call)
        else:
            self._route_by_name(call, endpoint)
        if call.upstream is not None:
            call.owner = routing.owner_of(call, call.upstream)
            if call.answer is None and self._parked.wants(call):
                call.answer = self._parked.resume
        return None

    def _is_owned(self, call: Call) -> bool:
        upstream = self._directory.upstreams.get(call.endpoint)
        return upstream is not None and routing.owner_of(call, upstream) is not None

    def _route_to_self(self, call: Call, own: routing.Own, endpoint: Endpoint | None) -> None:
        call.answer = self._own[own]
        if endpoint is None:
            upstream = self._alone(call.endpoint)
            call.target = Target("server", upstream.name)
            call.upstream = upstream if own in routing.NEEDS_SERVER else None

    def _route_to_endpoint(self, call: Call) -> None:
        upstream = call.upstream = self._seen.server(call, self._alone(call.endpoint))
        kind = _KINDS.get(call.method)
        if kind is not None:
            name = _named(call)
        elif call.method == methods.COMPLETE:
            kind, name = _reference(call)
        else:
            if call.method in methods.SUBSCRIPTIONS:
                self._endpoints.resource(call.endpoint, text(call.params, "uri"))
            call.target = Target("server", upstream.name)
            return
        sieve = upstream.sieves[kind]
        if not sieve.is_open and not sieve.passes(name):
            raise unknown(kind, name)
        call.target = Target(kind, upstream.name, name)

    def _alone(self, endpoint: str) -> Upstream:
        """The server whose endpoint it is. Raises `NotFound`."""
        profile = profile_of(endpoint)
        if profile is not None:
            hint = "`garrison status` shows the profiles"
            raise NotFound("profile.unknown", f"there is no profile {profile[:64]!r}", hint)
        return self._directory.get(endpoint)

    def _route_by_name(self, call: Call, endpoint: Endpoint) -> None:
        """Several servers as one: shown names become own ones, resources go to who offers them."""
        kind = _KINDS.get(call.method)
        name = _named(call) if kind is not None else ""
        if kind is None:
            kind, name = _reference(call)
        if kind == "resource":
            call.upstream, name = endpoint.resource(name)
            call.target = Target(kind, call.upstream.name, name)
            if call.method == methods.RESOURCES_READ:
                call.params["uri"] = raw(name)
            return
        found = endpoint.named(kind, name)
        call.upstream, call.target = found.upstream, found.target
        if call.method == methods.COMPLETE:
            call.params["ref"] = raw({"type": "ref/prompt", "name": found.target.name})
        else:
            call.params["name"] = found.name


def _named(call: Call) -> str:
    key = methods.NAME_PARAM[call.method]
    name = text(call.params, key)
    if not name:
        raise Invalid("message.unnamed", f"{call.method} needs params.{key}, a string")
    return name


def _reference(call: Call) -> tuple[Listed, str]:
    """What `completion/complete` wants to complete."""
    try:
        found = decode_any(call.params["ref"])
    except (KeyError, msgspec.MsgspecError, RecursionError):
        found = None
    if isinstance(found, dict):
        if found.get("type") == "ref/prompt" and isinstance(found.get("name"), str):
            return "prompt", found["name"]
        if found.get("type") == "ref/resource" and isinstance(found.get("uri"), str):
            return "resource", found["uri"]
    raise Invalid("message.bad_reference", "completion/complete needs params.ref, a prompt or a resource")
