"""authorise: may this principal do this? Default deny; lists are filtered by the same decision.

Arguments are not known here. What depends on them is let through if it may be allowed, and `approve` decides.
"""

from __future__ import annotations

from garrison.gateway.call import Call
from garrison.gateway.circumstances import how
from garrison.gateway.permission import hidden, hints_for
from garrison.gateway.stage import Stage, Step
from garrison.kernel.errors import Denied
from garrison.policy.authoriser import Authoriser


class Authorise(Stage):
    name = "authorise"
    needs = frozenset({"principal", "target"})
    gives = frozenset({"decision"})

    def __init__(self, authoriser: Authoriser) -> None:
        self._authoriser = authoriser

    def enter(self, call: Call) -> Step:
        principal, target = call.principal, call.target
        assert principal is not None
        if not target.server:  # the aggregate as such: open to whoever may do anything, and filtered for each
            if not self._authoriser.admits(principal):
                raise Denied("grant.none", f"key {principal.name!r} has no role", "`garrison keys create --role ROLE`")
            return None
        hints = hints_for(call) if self._authoriser.tells_hints else None
        decision = self._authoriser.decide(principal, target.kind, target.server, target.name, how(call), hints)
        if not decision.allowed:
            raise hidden(call, decision)
        call.decision = decision
        return None
