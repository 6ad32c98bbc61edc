"""Which method goes where, as tables. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from garrison.gateway.call import Call
from garrison.gateway.heads import SESSION_END, STREAM_OPEN
from garrison.gateway.upstreams.own import Owner
from garrison.gateway.upstreams.upstream import Upstream
from garrison.identity.principals import Principal
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, members
from garrison.protocol.versions import Era

Own = Literal[
    "initialize",
    "discover",
    "empty",
    "accepted",
    "end_session",
    "list_tools",
    "list_prompts",
    "list_resources",
    "list_templates",
    "open_legacy",
    "open_modern",
    "set_level",
    "unsubscribe",
    "list_tasks",
]
"""Names of the answers that the gateway gives itself."""

_LEGACY: Final[dict[str, Own]] = {
    methods.INITIALIZE: "initialize",
    methods.PING: "empty",
    methods.SET_LEVEL: "set_level",
    methods.UNSUBSCRIBE: "unsubscribe",
    methods.TASKS_LIST: "list_tasks",
    STREAM_OPEN: "open_legacy",
    SESSION_END: "end_session",
}
_MODERN: Final[dict[str, Own]] = {
    methods.DISCOVER: "discover",
    methods.LISTEN: "open_modern",
}
_LISTS: Final[dict[str, Own]] = {
    methods.TOOLS_LIST: "list_tools",
    methods.PROMPTS_LIST: "list_prompts",
    methods.RESOURCES_LIST: "list_resources",
    methods.TEMPLATES_LIST: "list_templates",
}

AGGREGATE_FORWARDED = frozenset({methods.TOOLS_CALL, methods.PROMPTS_GET, methods.RESOURCES_READ, methods.COMPLETE})
"""What the aggregate passes on, to the server that the name or the URI leads to."""

METHOD_CHARS_MAX = 200
"""Longer ones are nobody's; servers repeat them in their errors."""

_BY_VERB = frozenset({"open_legacy", "end_session"})
"""Answers to a GET or DELETE; no message can ask for them by what they are called in records."""

NEEDS_SERVER = frozenset({"initialize", "discover"})
"""Own answers that, on a transparent endpoint, repeat what the server said of itself."""


def own_answer(method: str, era: Era, *, is_request: bool, is_aggregate: bool, owned: bool = False) -> Own | None:
    """The gateway's own answer to a method; None where a server has to answer.

    `owned`: the client has a connection to the server to itself, so that what it sets there concerns nobody else.
    """
    if not is_request and method not in _LEGACY:
        return "accepted"
    if owned and method in (methods.SET_LEVEL, methods.UNSUBSCRIBE):
        return None
    found = (_MODERN if era == "modern" else _LEGACY).get(method)
    if found is not None and is_request and found in _BY_VERB:
        return None
    if found is None and is_aggregate:
        found = _LISTS.get(method)
    return found


def is_known(method: str, era: Era, *, is_aggregate: bool, owned: bool = False) -> bool:
    """Whether a method that the gateway does not answer itself may go to a server.

    A transparent endpoint passes on whatever it does not know, extensions included, but not the other era's methods.
    """
    if is_aggregate:
        return method in AGGREGATE_FORWARDED
    if method in methods.OF_TASKS or method in methods.SUBSCRIPTIONS:
        return owned and method in methods.SUBSCRIPTIONS
    others = methods.REMOVED_IN_MODERN if era == "modern" else methods.ONLY_IN_MODERN
    return method not in others and len(method) <= METHOD_CHARS_MAX


def owner_of(call: Call, upstream: Upstream) -> Owner | None:
    """Who needs a connection of its own to this server; None where the shared one serves (docs/adr/0007).

    A legacy session has a session of its own at a server over HTTP, and a process of its own behind pipes, as it would
    have without us; there the spec may say that all share one, except those who can be asked. Where the server speaks
    both eras, it is spoken to in the client's. Modern clients have no sessions: in front of a legacy server, all of a
    principal's are one. A modern server keeps nothing between two requests.
    """
    if upstream.spec.is_personal:
        return _personal(call, upstream)
    if upstream.refuses_legacy:
        return None
    isolated = upstream.spec.transport == "stdio" and upstream.spec.session == "isolated"
    if call.session is not None:
        able = call.session.capabilities
        needed = isolated or not methods.CAN_BE_ASKED.isdisjoint(able) or upstream.spec.transport != "stdio"
        return Owner(call.session.id, upstream.name, able, holder=call.session.principal) if needed else None
    if upstream.connection is None or upstream.connection.info.era == "modern" or call.principal is None:
        return None
    capabilities = askable(call)
    if (capabilities or isolated) and call.method != methods.DISCOVER:
        return Owner(call.principal.id, upstream.name, capabilities, holder=call.principal.id)
    return None


def _personal(call: Call, upstream: Upstream) -> Owner | None:
    """The server is shown each principal's own credential: nobody uses a connection of another's."""
    if call.principal is None:
        return None
    principal, session = whose(call.principal, upstream), call.session
    if session is not None:
        return Owner(session.id, upstream.name, session.capabilities, principal, principal)
    return Owner(principal, upstream.name, askable(call), principal, principal)


def whose(principal: Principal, upstream: Upstream) -> str:
    """Under whose name the server's credentials are kept. One that is made of a caller's token allows no more than that
    token: it serves for no other scopes."""
    auth = upstream.spec.auth
    if auth is None or auth.kind != "token_exchange" or principal.scopes is None:
        return principal.id
    return " ".join((principal.id, *sorted(principal.scopes)))


def askable(call: Call) -> dict[str, Any]:
    """What the client of this call can be asked: as its session says, or as this very request does."""
    if call.session is not None:
        return call.session.capabilities
    try:
        declared = decode_any(members(call.params["_meta"])[methods.META_CAPABILITIES])
    except (KeyError, msgspec.MsgspecError, RecursionError):
        return {}
    return (
        {key: value for key, value in declared.items() if key in methods.ASKABLE} if isinstance(declared, dict) else {}
    )
