"""Which method goes where, as tables. Pure."""

from __future__ import annotations

from typing import Final, Literal

from garrison.gateway.heads import SESSION_END, STREAM_OPEN
from garrison.protocol import methods
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
]
"""Names of the answers that the gateway gives itself."""

_LEGACY: Final[dict[str, Own]] = {
    methods.INITIALIZE: "initialize",
    methods.PING: "empty",
    methods.SET_LEVEL: "empty",
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

NEEDS_SERVER = frozenset({"initialize", "discover"})
"""Own answers that, on a transparent endpoint, repeat what the server said of itself."""

_NOT_PASSED_ON = frozenset({"resources/subscribe", "resources/unsubscribe"})


def own_answer(method: str, era: Era, *, is_request: bool, is_aggregate: bool) -> Own | None:
    """The gateway's own answer to a method; None where a server has to answer."""
    if not is_request and method not in _LEGACY:
        return "accepted"
    found = (_MODERN if era == "modern" else _LEGACY).get(method)
    if found is None and is_aggregate:
        found = _LISTS.get(method)
    return found


def is_known(method: str, era: Era, *, is_aggregate: bool) -> bool:
    """Whether a method that the gateway does not answer itself may go to a server.

    A transparent endpoint passes on whatever it does not know, extensions included, but not the other era's methods.
    """
    if method in _NOT_PASSED_ON:
        return False
    if is_aggregate:
        return method in AGGREGATE_FORWARDED
    return method not in (methods.REMOVED_IN_MODERN if era == "modern" else methods.ONLY_IN_MODERN)
