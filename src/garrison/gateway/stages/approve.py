"""approve: the decision that needs the arguments, and the wait for somebody's yes where a rule asks for it.

Below `validate`: what is judged, and shown to who approves, is what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from garrison.gateway.approving import Waiting
from garrison.gateway.asking import Asking
from garrison.gateway.call import Call, Outcome
from garrison.gateway.circumstances import how
from garrison.gateway.permission import denied, hidden, hints_for
from garrison.gateway.stage import Stage, Step
from garrison.kernel.errors import Denied, Invalid
from garrison.policy.authoriser import Authoriser
from garrison.policy.decision import Decision
from garrison.protection.approval_table import Approval
from garrison.protection.approvals import Approvals, Wish
from garrison.protocol import methods
from garrison.protocol.messages import EMPTY, decode_any, params_of, raw, text

_JUDGED = frozenset({methods.TOOLS_CALL, methods.PROMPTS_GET, methods.RESOURCES_READ})
"""What is done by name. All else needs nothing but that it is possible."""


class Approve(Stage):
    """`wait_s`: how long a call stays open for its approval."""

    name = "approve"
    needs = frozenset({"principal", "target", "decision", "arguments"})
    gives = frozenset({"approved"})

    def __init__(
        self, authoriser: Authoriser, approvals: Approvals, waiting: Waiting, asking: Asking, wait_s: float
    ) -> None:
        self._authoriser = authoriser
        self._approvals = approvals
        self._waiting = waiting
        self._asking = asking
        self._wait_s = wait_s

    def enter(self, call: Call) -> Step:
        decision = call.decision
        if decision is None or call.method not in _JUDGED or call.answer is not None:
            return None
        if decision.depends or self._authoriser.tells_hints:
            decision = self._judged(call)  # `call.decision` stays: calls alike depend on their arguments as well
        if decision.effect == "allow":
            return None
        return self._approval(call, decision)

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        """What was not sent, or goes on with the next request of its client, has not used its approval."""
        if call.approval and (call.sent_ns == 0 or _goes_on(call, outcome)):
            self._approvals.give_back(call.approval)
        return outcome

    def _judged(self, call: Call) -> Decision:
        """The arguments are known now, and what the server says of its tool. Raises a refusal."""
        principal, target, circumstances, hints = call.principal, call.target, how(call), hints_for(call)
        assert principal is not None
        about = (principal, target.kind, target.server, target.name)
        decision = self._authoriser.judge(*about, _arguments(call), circumstances, hints)
        if decision.allowed:
            return decision
        possible = self._authoriser.decide(*about, circumstances, hints).allowed
        raise denied(call, decision) if possible else hidden(call, decision)

    def _approval(self, call: Call, decision: Decision) -> Step:
        is_retry = self._asking.answered(call) if call.era == "modern" else ""
        approval = self._approvals.ask(self._wish(call, decision))
        if approval.state == "approved" and self._use(call, approval):
            return None
        if not is_retry and self._asking.can_ask(call):
            return self._asking.answer(call, approval)
        if self._waiting.is_full or self._wait_s <= 0:
            return self._asking.answer(call, approval)
        return self._wait(call, approval)

    async def _wait(self, call: Call, approval: Approval) -> Outcome | None:
        await self._waiting.decided(call, approval.id, self._wait_s)
        found = self._approvals.get(approval.id)
        if found.state == "denied":
            why = f": {found.reason}" if found.reason else ""
            raise Denied("approval.denied", f"approval {found.id} of {found.shown} was denied{why}", found.rule)
        if found.state == "approved" and self._use(call, found):
            return None
        return self._asking.answer(call, found)

    def _use(self, call: Call, approval: Approval) -> bool:
        if not self._approvals.use(approval):
            return False
        call.approval = approval.id
        return True

    def _wish(self, call: Call, decision: Decision) -> Wish:
        assert call.principal is not None
        target, definition = call.target, call.definition
        key = methods.NAME_PARAM[call.method]
        shown = text(params_of(call.message), key) if call.message is not None else ""
        described = bytes(definition.body) if definition is not None else b""
        arguments = _arguments(call)
        return Wish(
            call.principal, target.server, target.name, shown or target.name, arguments, described, decision.rule
        )


def _arguments(call: Call) -> Mapping[str, Any]:
    """What was judged is what is sent: a prompt's are written anew, as `validate` does with a tool's."""
    if call.method == methods.TOOLS_CALL:
        return call.arguments or {}
    if call.method != methods.PROMPTS_GET or "arguments" not in call.params:
        return {}
    try:
        found = decode_any(call.params.get("arguments", EMPTY))
    except (msgspec.MsgspecError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid("prompt.bad_arguments", "the arguments of a prompt must be an object")
    call.params["arguments"] = raw(found)
    return found


def _goes_on(call: Call, outcome: Outcome) -> bool:
    """A modern server asks something back: the request comes again, with the answers. What is parked at a legacy server
    goes on there by itself."""
    connection = call.connection or (call.upstream.connection if call.upstream is not None else None)
    if call.era != "modern" or connection is None or connection.info.era != "modern" or outcome.result is None:
        return False
    return b'"input_required"' in bytes(outcome.result)[:4096]
