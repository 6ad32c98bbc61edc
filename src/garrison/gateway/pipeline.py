"""The pipeline: THE list of stages, and the one way through it.

Requests go down, outcomes come up through the stages that the request had entered. Nothing here waits: a stage
that must wait takes its call off the hot path.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from garrison.gateway.call import Call, Outcome, Pending
from garrison.gateway.stage import Again, Stage, Step
from garrison.kernel.errors import Defect, GarrisonError, TimedOut

ORDER = (
    "observe",  # outermost: what is refused is measured too
    "shed",  # outside audit: a record of each refusal would be the load that is to be shed
    "audit",  # outside authenticate: refusals are on the record
    "authenticate",
    "admit",  # malformed messages are told so only to callers that we know
    "route",  # which server is meant; authorise needs to know
    "authorise",
    "limit",
    "meter",  # the limits of garrison.yaml: by who is asking, which server, which tool
    "connect",  # only who may call a server can start it, or open a connection of their own
    "validate",
    "approve",  # below validate: what is judged and approved is what is sent
    "screen",
    "cache",  # below screen: what a caller may see is decided anew each time
    "breaker",  # a server that does not answer is not asked
    "retry",  # below the breaker, which counts calls and not attempts
    "intent",  # the record of what is about to be done, before it is done: one for each attempt
    "forward",
)

Wrap = Callable[[str, Callable[..., Any]], Callable[..., Any]]
Steps = tuple[tuple[int, Callable[[Call], Step]], ...]

log = logging.getLogger("garrison.gateway")


class Pipeline:
    """Runs calls through `stages`. `answer` takes the finished outcome to the client."""

    def __init__(self, stages: Sequence[Stage], answer: Callable[[Call, Outcome], None]) -> None:
        """Raises `Defect` when the stages are not in THE order or one needs what none above it gives."""
        check_order(stages)
        self._stages = stages
        self._bind()
        self._below = {stage.name: index + 1 for index, stage in enumerate(stages)}
        self._answer = answer
        self._parked: set[asyncio.Task[None]] = set()

    def watch(self, wrap: Wrap) -> None:
        """For measurements: `wrap(name, function)` stands in place of both ways of each stage, and of the answer."""
        for stage in self._stages:
            stage.enter = wrap(stage.name, stage.enter)  # type: ignore[method-assign]
            stage.leave = wrap(stage.name, stage.leave)  # type: ignore[method-assign]
        self._answer = wrap("answer", self._answer)
        self._bind()

    def _bind(self) -> None:
        stages = self._stages
        self._steps = tuple(_way_down(stages, entered) for entered in range(len(stages) + 1))
        self._leave = tuple(_way_up(stages[:entered]) for entered in range(len(stages) + 1))

    def start(self, call: Call) -> None:
        call.finish = partial(self._finish, call)
        self._advance(call, 0)

    def take_over(self, call: Call) -> None:
        """A call that has passed all stages elsewhere; its outcome goes up through all of them."""
        call.finish = partial(self._finish, call)
        call.depth = len(self._below)

    def _advance(self, call: Call, entered: int) -> None:
        """On with the stages below those that were entered."""
        try:
            for depth, enter in self._steps[entered]:
                call.depth = depth
                step = enter(call)
                if step is None:
                    continue
                if isinstance(step, Outcome):
                    self._finish(call, step)
                elif not isinstance(step, Pending):
                    self._park(call, step, depth)
                return
        except GarrisonError as error:
            self._finish(call, Outcome(failure=error))
        except Exception:  # boundary: a defect in a stage ends its call, not the gateway
            log.exception("a stage failed", extra={"call": call.id, "method": call.method})
            self._finish(call, Outcome(failure=_defect(call)))

    def _park(self, call: Call, step: Awaitable[Outcome | None], depth: int) -> None:
        task = asyncio.ensure_future(self._resume(call, step, depth))
        self._parked.add(task)
        task.add_done_callback(self._parked.discard)

    async def _resume(self, call: Call, step: Awaitable[Outcome | None], depth: int) -> None:
        try:
            outcome = await step
        except GarrisonError as error:
            outcome = Outcome(failure=error)
        except Exception:  # boundary: as above, for what was waited for
            log.exception("a stage failed while its call waited", extra={"call": call.id, "method": call.method})
            outcome = Outcome(failure=_defect(call))
        if outcome is not None:
            self._finish(call, outcome)
        elif not call.finished:
            self._advance(call, depth)

    def _finish(self, call: Call, outcome: Outcome) -> None:
        if call.finished:
            return
        call.finished = True
        for leave in self._leave[call.depth]:
            try:
                outcome = leave(call, outcome)
            except Again as again:
                self._go_again(call, again)
                return
            except GarrisonError as error:
                outcome = Outcome(failure=error)
            except Exception:  # boundary: as above, on the way up
                log.exception("a stage failed on the way up", extra={"call": call.id, "method": call.method})
                outcome = Outcome(failure=_defect(call))
        self._answer(call, outcome)
        call.finish = _over  # no cycle: an ended call is freed at once, and its memory is used again while it is warm

    def _go_again(self, call: Call, again: Again) -> None:
        """Down once more, a little later; whoever gives the call up meanwhile ends it."""
        call.finished, call.depth = False, self._below[again.stage]
        timer = asyncio.get_running_loop().call_later(again.after_s, self._advance, call, call.depth)

        def give_up(reason: str) -> None:
            timer.cancel()
            call.finish(Outcome(failure=TimedOut("call.cancelled", f"the call was given up: {reason}")))

        call.on_cancel = give_up


def _over(outcome: Outcome) -> None:
    """What comes after the end changes nothing."""


def _way_down(stages: Sequence[Stage], entered: int) -> Steps:
    """The stages below that look at requests, each with how many are entered with it."""
    below = enumerate(stages[entered:], entered + 1)
    return tuple((depth, stage.enter) for depth, stage in below if type(stage).enter is not Stage.enter)


def _way_up(entered: Sequence[Stage]) -> tuple[Callable[[Call, Outcome], Outcome], ...]:
    """What an outcome passes, innermost first; stages that only look at requests are left out."""
    return tuple(stage.leave for stage in reversed(entered) if type(stage).leave is not Stage.leave)


def check_order(stages: Sequence[Stage]) -> None:
    """Raises `Defect` unless the stages stand in THE order and each finds what it needs."""
    names = tuple(stage.name for stage in stages)
    if names != tuple(name for name in ORDER if name in names):
        raise Defect("pipeline.order", f"stages are not in the pipeline's order: {', '.join(names)}")
    given: set[str] = set()
    for stage in stages:
        missing = stage.needs - given
        if missing:
            raise Defect(
                "pipeline.needs", f"stage {stage.name} needs {', '.join(sorted(missing))}, which no stage gives"
            )
        given |= stage.gives


def _defect(call: Call) -> Defect:
    return Defect("gateway.defect", f"the gateway failed on this call ({call.id})", "its log has the details")
