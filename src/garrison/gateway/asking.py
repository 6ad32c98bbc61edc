"""How a client is told that its call needs somebody's approval, in the way of its era, and what it says to that.

2026-07-28: `input_required` with a form to confirm and a sealed state; the retry waits for the decision. 2025-11-25:
error -32042 with a page of ours that tells how it stands. Everybody else waits, or is refused and calls again later.
"""

from __future__ import annotations

import msgspec

from garrison.gateway import routing
from garrison.gateway.call import Call, Outcome
from garrison.gateway.seals import Seal
from garrison.identity.resources import Resources
from garrison.kernel.errors import Conflict
from garrison.protection.approval_table import Approval
from garrison.protocol import codes
from garrison.protocol.messages import RpcError, decode_any, encode, members, raw

KEY = "garrison.approval"
"""Names our question among those of a modern server."""
PAGE = "/approvals/"


class Asking:
    """`resources` knows the URL that clients reach us by, where it is known."""

    def __init__(self, key: bytes, resources: Resources) -> None:
        self._seal = Seal(key, "approval")
        self._resources = resources

    def can_ask(self, call: Call) -> bool:
        """Whether the client can be told at once, and calls again by itself."""
        wanted = routing.askable(call).get("elicitation")
        if not isinstance(wanted, dict):
            return False
        if call.era == "modern":
            return not wanted or "form" in wanted
        return "url" in wanted and bool(self._resources.base)

    def answer(self, call: Call, approval: Approval) -> Outcome:
        """What the client gets in place of a result."""
        message = (
            f"{approval.shown} needs somebody's approval: {approval.id} (`garrison approvals approve {approval.id}`)."
        )
        if not self.can_ask(call):
            hint = "call again with the same arguments once it is approved"
            return Outcome(failure=Conflict("approval.pending", message, hint))
        if call.era == "legacy":
            page = {"mode": "url", "elicitationId": approval.id, "url": self._resources.base + PAGE + approval.id}
            asked = raw({"elicitations": [{**page, "message": message}]})
            return Outcome(error=RpcError(codes.URL_ELICITATION_REQUIRED, message, asked))
        form = {"mode": "form", "message": f"{message} Confirm to wait for it.", "requestedSchema": _FORM}
        result = {
            "resultType": "input_required",
            "inputRequests": {KEY: {"method": "elicitation/create", "params": form}},
            "requestState": self._seal.seal(approval.id.encode(), *_bound_to(call)),
        }
        return Outcome(result=encode(result))

    def answered(self, call: Call) -> str:
        """The approval that this is a retry for; empty for none. What was ours in it is taken out of the request.

        Raises `Conflict` when the client's user does not want to wait.
        """
        approval_id = self._opened(call)
        if not approval_id:
            return ""
        said = _said(call)
        call.params = {
            key: value for key, value in call.params.items() if key not in ("requestState", "inputResponses")
        }
        if said != "accept":
            raise Conflict("approval.declined", f"the client does not wait for approval {approval_id}", "call again")
        return approval_id

    def _opened(self, call: Call) -> str:
        try:
            state = msgspec.json.decode(call.params["requestState"], type=str)
        except (KeyError, msgspec.MsgspecError, RecursionError):
            return ""
        content = self._seal.open(state, *_bound_to(call))
        return content.decode() if content is not None else ""


_FORM = {"type": "object", "properties": {}}


def _bound_to(call: Call) -> tuple[str, ...]:
    principal = call.principal.id if call.principal is not None else ""
    return principal, call.endpoint, call.method, call.target.server, call.target.name


def _said(call: Call) -> str:
    try:
        found = decode_any(members(call.params["inputResponses"])[KEY])
    except (KeyError, msgspec.MsgspecError, RecursionError):
        return ""
    return str(found.get("action", "")) if isinstance(found, dict) else ""
