"""validate: the called tool exists, and its arguments are what its input schema asks for.

The arguments are decoded here, and what was judged is what is forwarded: the decoded value is written again, so that
a key that stands twice, or any other trick of the text, cannot mean one thing here and another to the server.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from garrison.gateway.call import Call
from garrison.gateway.heads import is_transparent, reading_of
from garrison.gateway.refusals import header_mismatch, unknown
from garrison.gateway.stage import Stage, Step
from garrison.gateway.upstreams.definition import Definition
from garrison.gateway.upstreams.upstream import Upstream
from garrison.kernel.errors import Invalid, NotFound, Unavailable
from garrison.protocol import methods
from garrison.protocol.headers import decode_value
from garrison.protocol.messages import decode_any, params_of, raw, text

_NO_ARGUMENTS = Raw(b"{}")


class Validate(Stage):
    name = "validate"
    needs = frozenset({"target", "connected"})
    gives = frozenset({"arguments"})

    def enter(self, call: Call) -> Step:
        if call.upstream is not None and call.answer is None and (call.upstream.held or call.upstream.in_doubt):
            _check_pins(call, call.upstream)
        if call.method == methods.TOOLS_CALL and call.upstream is not None and call.answer is None:
            self._tool(call)
        elif call.method == methods.PROMPTS_GET and not is_transparent(call.endpoint):
            _check_prompt(call)
        return None

    def _tool(self, call: Call) -> None:
        assert call.upstream is not None
        name = call.target.name
        definition = call.upstream.tools.get(name)
        if definition is None and call.upstream.listed:
            raise _unknown(call, "tool")
        call.definition = definition
        call.arguments = _arguments(call)
        if definition is not None:
            _judge(call, call.arguments, definition)
        call.params["arguments"] = raw(call.arguments)
        if definition is not None and call.era == "modern":
            _check_param_headers(call, definition)


def _check_pins(call: Call, upstream: Upstream) -> None:
    """What is held is used by nobody, wherever it is asked for."""
    kind, name = call.target.kind, call.target.name
    if kind == "server":
        return
    if (
        upstream.connection is not None
        and upstream.connection.closed is None
        and upstream.holding.is_unread(upstream.name, kind)
    ):
        message = f"what server {upstream.name} offers could not be compared with its pins: {upstream.problem}"
        raise Unavailable("pin.unread", message, "it is asked again soon; see `garrison status`")
    for one in ("resource", "template") if kind == "resource" else (kind,):
        if why := upstream.held.get((one, name)):
            raise upstream.pins.refusal(kind, upstream.name, name, why)


def _judge(call: Call, arguments: dict[str, object], definition: Definition) -> None:
    """Raises `Invalid` unless the arguments fit the tool's input schema.

    Many models write null for what they leave out. Where only that is wrong, the nulls are left out, here and for
    the server: a property that is not required and must not be null can mean nothing else.
    """
    checker = definition.input
    if checker is None or checker.is_valid(arguments):
        return
    without_nulls = {name: value for name, value in arguments.items() if value is not None}
    if len(without_nulls) < len(arguments) and checker.is_valid(without_nulls):
        call.arguments = without_nulls
        return
    problems = "; ".join(checker.problems(arguments))
    raise Invalid("tool.bad_arguments", f"invalid arguments for tool {definition.name[:128]}: {problems}")


def _arguments(call: Call) -> dict[str, object]:
    try:
        found = decode_any(call.params.get("arguments", _NO_ARGUMENTS))
    except (msgspec.MsgspecError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid("tool.bad_arguments", "the arguments of a tool call must be an object")
    return found


def _check_param_headers(call: Call, definition: Definition) -> None:
    """2026-07-28: arguments that the schema mirrors into headers must stand there, and say the same."""
    sent = reading_of(call.request.head)
    owed = definition.headers(call.arguments or {})
    for name in definition.header_names:
        wanted = decode_value(owed[name]) if name in owed else None
        if (name in sent.params) != (name in owed) or sent.params.get(name) != wanted:
            raise header_mismatch(name)


def _check_prompt(call: Call) -> None:
    """Where servers are shown as one, what is not listed cannot be used; a server alone answers for itself."""
    upstream = call.upstream
    if upstream is None or not upstream.has_listed(methods.PROMPTS_LIST):
        return
    if call.target.name not in upstream.lists[methods.PROMPTS_LIST]:
        raise _unknown(call, "prompt")


def _unknown(call: Call, kind: str) -> NotFound:
    """By the name that the client used, which is not the server's own where servers are shown as one."""
    asked = text(params_of(call.message), "name") if call.message is not None else ""
    return unknown(kind, asked or call.target.name)
