"""screen: what comes back is looked at: structured output against its schema, lists against what may be seen."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from garrison.gateway.call import Call, Outcome
from garrison.gateway.circumstances import how
from garrison.gateway.screens import Screens, withheld
from garrison.gateway.stage import Stage, Step
from garrison.gateway.upstreams.definition import KEY, KIND, flaw_of
from garrison.kernel.errors import Unavailable
from garrison.policy.authoriser import Authoriser
from garrison.policy.decision import hints_of
from garrison.protocol import methods
from garrison.protocol.messages import decode_any, encode, members


class ToolResult(msgspec.Struct):
    """What of a tool's result is looked at."""

    isError: bool = False  # noqa: N815  the protocol's name
    structuredContent: Raw | UnsetType = UNSET  # noqa: N815
    resultType: str = "complete"  # noqa: N815


decode_tool_result = msgspec.json.Decoder(ToolResult).decode


class Screen(Stage):
    name = "screen"
    needs = frozenset({"principal", "target"})
    gives = frozenset({"screened"})

    def __init__(self, authoriser: Authoriser, screens: Screens) -> None:
        self._authoriser = authoriser
        self._screens = screens

    def enter(self, call: Call) -> Step:
        call.screener = self._screens.of(call)
        self._screens.check_arguments(call)
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        given = outcome.result
        try:
            self._screens.result(call, outcome)
            self._screens.error(call, outcome)
        finally:
            self._screens.tell(call)
        if outcome.result is None or call.answer is not None:
            return outcome
        if call.method == methods.TOOLS_CALL:
            return self._tool_result(call, outcome) if outcome.result is given else self._masked(call, outcome)
        if call.method in KIND:
            outcome.result = self._list(call, outcome.result)
        return outcome

    def _tool_result(self, call: Call, outcome: Outcome) -> Outcome:
        try:
            found = decode_tool_result(outcome.result or b"")
        except (msgspec.MsgspecError, RecursionError):
            raise _bad_output(call, "its result is no tool result") from None
        outcome.tool_error = found.isError
        definition = call.definition
        if definition is None or not definition.has_output_schema or found.isError or found.resultType != "complete":
            return outcome
        if found.structuredContent is UNSET:
            raise _bad_output(call, "it announces an outputSchema but sent no structuredContent")
        checker = definition.output
        content = decode_any(found.structuredContent)
        if checker is not None and not checker.is_valid(content):
            raise _bad_output(call, "; ".join(checker.problems(content)))
        return outcome

    def _masked(self, call: Call, outcome: Outcome) -> Outcome:
        """What was masked may be no more what the tool promises; that is our doing, and not the server's."""
        try:
            return self._tool_result(call, outcome)
        except Unavailable:
            outcome.result = withheld(call, "what had to be masked does not fit its outputSchema")
            outcome.tool_error = True
            return outcome

    def _list(self, call: Call, result: bytes | Raw) -> bytes | Raw:
        """A live list of one server, without what its filter or the caller's grants leave out, or no client can use."""
        parts = members(result)
        member = methods.LIST_MEMBER[call.method]
        items = decode_any(parts[member]) if member in parts else []
        kept = [item for item in items if self._may_see(call, item)]
        if len(kept) == len(items):
            return result
        return encode({**parts, member: kept})

    def _may_see(self, call: Call, item: Any) -> bool:
        assert call.principal is not None
        assert call.upstream is not None
        name = item.get(KEY[call.method]) if isinstance(item, dict) else None
        if not isinstance(name, str) or flaw_of(call.method, item):
            return False
        kind = KIND[call.method]
        if not call.upstream.sieves[kind].passes(name):
            return False
        if call.upstream.pins.enforces and self._is_held(call, name, item):
            return False
        if call.upstream.pool is not None and not call.upstream.is_common(call.method, name):
            return False
        hints = hints_of(item.get("annotations")) if self._authoriser.tells_hints else None
        return self._authoriser.decide(call.principal, kind, call.upstream.name, name, how(call), hints).allowed

    def _is_held(self, call: Call, name: str, item: dict[str, Any]) -> bool:
        """What was judged already is known; anything else is judged now, and if it is held, so it is for everybody."""
        upstream, method = call.upstream, call.method
        assert upstream is not None
        known = upstream.lists[method].get(name)
        if known is not None and known.content == item:
            return False
        if not upstream.pins.why_held(upstream.spec, method, item):
            return False
        upstream.distrust(method, name, item)
        return True


def _bad_output(call: Call, why: str) -> Unavailable:
    message = f"server {call.target.server} broke its contract for tool {call.target.name[:128]}: {why}"
    return Unavailable("server.invalid_output", message, "the server is at fault; the call may have taken effect")
