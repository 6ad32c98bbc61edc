"""route: which server is meant, and whether it or the gateway itself has to answer."""

from __future__ import annotations

from typing import Any

import msgspec

from garrison.gateway import routing
from garrison.gateway.answers import Answers
from garrison.gateway.call import Call, Target, TargetKind
from garrison.gateway.parked import ParkedCalls
from garrison.gateway.refusals import method_not_found
from garrison.gateway.stage import Stage, Step
from garrison.gateway.streams import Streams
from garrison.gateway.upstreams.directory import Directory
from garrison.kernel.errors import Invalid
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, raw, text

_KINDS: dict[str, TargetKind] = {
    methods.TOOLS_CALL: "tool",
    methods.PROMPTS_GET: "prompt",
    methods.RESOURCES_READ: "resource",
}


class Route(Stage):
    name = "route"
    needs = frozenset({"message"})
    gives = frozenset({"target"})

    def __init__(self, directory: Directory, answers: Answers, streams: Streams, parked: ParkedCalls) -> None:
        self._directory = directory
        self._answers = answers
        self._parked = parked
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
        }

    def enter(self, call: Call) -> Step:
        if call.method == methods.INITIALIZE:
            self._answers.begin_session(call)
        shape = {"is_aggregate": not call.endpoint, "owned": self._is_owned(call)}
        own = routing.own_answer(call.method, call.era, is_request=call.rpc_id is not None, **shape)
        if own is not None:
            self._route_to_self(call, own)
        elif not routing.is_known(call.method, call.era, **shape):
            raise method_not_found(call.method)
        elif call.endpoint:
            self._route_to_endpoint(call)
        else:
            self._route_by_name(call)
        if call.upstream is not None:
            call.owner = routing.owner_of(call, call.upstream)
            if call.answer is None and self._parked.wants(call):
                call.answer = self._parked.resume
        return None

    def _is_owned(self, call: Call) -> bool:
        upstream = self._directory.upstreams.get(call.endpoint)
        return upstream is not None and routing.owner_of(call, upstream) is not None

    def _route_to_self(self, call: Call, own: routing.Own) -> None:
        call.answer = self._own[own]
        if call.endpoint:
            upstream = self._directory.get(call.endpoint)
            call.target = Target("server", upstream.name)
            call.upstream = upstream if own in routing.NEEDS_SERVER else None

    def _route_to_endpoint(self, call: Call) -> None:
        upstream = call.upstream = self._directory.get(call.endpoint)
        kind = _KINDS.get(call.method)
        if kind is not None:
            call.target = Target(kind, upstream.name, _named(call))
        elif call.method == methods.COMPLETE:
            kind, name = _reference(call)
            call.target = Target(kind, upstream.name, name)
        else:
            call.target = Target("server", upstream.name)

    def _route_by_name(self, call: Call) -> None:
        """The aggregate: names lose their prefix, resources go to who offers them."""
        kind = _KINDS.get(call.method)
        name = _named(call) if kind is not None else ""
        if kind is None:
            kind, name = _reference(call)
        if kind == "resource":
            call.upstream = self._directory.owner(name)
        else:
            call.upstream, name = self._directory.named(name, kind)
            if call.method == methods.COMPLETE:
                call.params["ref"] = raw({"type": "ref/prompt", "name": name})
            else:
                call.params["name"] = raw(name)
        call.target = Target(kind, call.upstream.name, name)


def _named(call: Call) -> str:
    key = methods.NAME_PARAM[call.method]
    name = text(call.params, key)
    if not name:
        raise Invalid("message.unnamed", f"{call.method} needs params.{key}, a string")
    return name


def _reference(call: Call) -> tuple[TargetKind, str]:
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
