"""admit: only well-formed messages pass; what is wrong was found when the request was read."""

from __future__ import annotations

from garrison.gateway.call import Call
from garrison.gateway.stage import Stage, Step


class Admit(Stage):
    name = "admit"
    needs = frozenset({"principal"})
    gives = frozenset({"message"})

    def enter(self, call: Call) -> Step:
        if call.problem is not None:
            raise call.problem
        return None
