"""What a stage is: a way down for the request, a way up for the outcome."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar

from garrison.gateway.call import Call, Outcome, Pending

Step = Outcome | Pending | Awaitable["Outcome | None"] | None
"""None: on to the next stage. Outcome: no further, this is the answer. Pending: it will come.
An awaitable takes the call off the hot path; the pipeline goes on with what it returns."""


class Again(Exception):
    """Raised by a stage's `leave`: the call goes down once more through the stages below that one, `after_s` later."""

    def __init__(self, stage: str, after_s: float) -> None:
        super().__init__(stage)
        self.stage = stage
        self.after_s = after_s


class Stage:
    """One stage. `needs` and `gives` are names of facts about the call; an impossible order fails at start-up.

    Both ways may raise a `GarrisonError`, which refuses the call; `leave` may raise `Again`.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    gives: ClassVar[frozenset[str]] = frozenset()

    def enter(self, call: Call) -> Step:
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        return outcome
