"""What a decision means for a call: what is hidden, what is refused, and what was decided about."""

from __future__ import annotations

from garrison.gateway.call import Call
from garrison.gateway.refusals import Hidden, unknown
from garrison.gateway.upstreams.directory import unknown_server
from garrison.kernel.errors import Denied
from garrison.policy.decision import Decision, Hints
from garrison.protocol import methods
from garrison.protocol.messages import params_of, text


def hints_for(call: Call) -> Hints | None:
    """What the server says of the called tool; None where it has not listed it yet."""
    if call.target.kind != "tool" or call.upstream is None:
        return None
    definition = call.definition or call.upstream.tools.get(call.target.name)
    return definition.hints if definition is not None else None


def denied(call: Call, decision: Decision) -> Denied:
    """Of something that the caller may see: the rule is named."""
    return Denied("grant.missing", _what(call), decision.rule)


def hidden(call: Call, decision: Decision) -> Hidden:
    """Of something that the caller may not know to be there. The reason is for the record."""
    target = call.target
    if target.kind == "server":
        return Hidden("grant.missing", f"{_what(call)}: {decision.rule}", decision.rule, unknown_server(target.server))
    told = unknown(target.kind, _asked(call) or target.name)
    return Hidden("grant.missing", f"{_what(call)}: {decision.rule}", decision.rule, told)


def _what(call: Call) -> str:
    target, who = call.target, call.principal.name if call.principal is not None else ""
    what = f"{target.kind} {target.name!r} of server {target.server!r}" if target.name else f"server {target.server!r}"
    return f"{who!r} may not use {what[:300]}"


def _asked(call: Call) -> str:
    """The name that the client used, which is not the server's own where servers are shown as one."""
    key = methods.NAME_PARAM.get(call.method)
    return text(params_of(call.message), key) if key is not None and call.message is not None else ""
