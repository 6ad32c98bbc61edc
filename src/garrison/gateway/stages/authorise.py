"""authorise: may this principal do this? Default deny; lists are filtered by the same decision."""

from __future__ import annotations

from garrison.gateway.call import Call
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
        if not target.server:  # the aggregate as such: open to whoever has any role, and filtered for each
            if not principal.roles:
                raise Denied("grant.none", f"key {principal.name!r} has no role", "`garrison keys create --role ROLE`")
            return None
        decision = self._authoriser.decide(principal, target.kind, target.server, target.name)
        if not decision.allowed:
            what = (
                f"{target.kind} {target.name!r} of server {target.server!r}"
                if target.name
                else f"server {target.server!r}"
            )
            raise Denied("grant.missing", f"key {principal.name!r} may not use {what[:300]}", decision.rule)
        return None
