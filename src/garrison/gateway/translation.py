"""Results of servers that name things which clients know by other names: `ui://` resources and tasks.

Most servers have neither, and cost one look at a flag (`Upstream.rewrites`).
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw

from garrison.gateway import apps
from garrison.gateway.call import Call, Outcome
from garrison.gateway.heads import is_transparent
from garrison.gateway.tasks import Tasks
from garrison.protocol import methods

Translate = Callable[[bytes | Raw], bytes | Raw]


class Translation:
    """Puts itself between whoever finishes a call and the pipeline, so that no other call knows of it."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def apply(self, call: Call) -> None:
        """Once for a call, however often it is sent."""
        upstream = call.upstream
        assert upstream is not None
        if isinstance(call.finish, _Translated):
            return
        follows = upstream.has_tasks and (call.method == methods.TOOLS_CALL or call.method in methods.OF_TASKS)
        shows = upstream.has_apps and not is_transparent(call.endpoint) and apps.is_app_bearing(call.method)
        translate: list[Translate] = []
        if shows:
            server = upstream.name
            translate.append(lambda content: apps.result(server, content))
        if follows:
            place = self._tasks.place_of(call)
            call.sink = self._tasks.sealing(call, place)
            translate.append(lambda content: self._tasks.sealed(call, place, content))
        if translate:
            call.finish = _Translated(call.finish, translate)


class _Translated:
    """Stands for `call.finish`."""

    def __init__(self, finish: Callable[[Outcome], None], translate: list[Translate]) -> None:
        self._finish = finish
        self._translate = translate

    def __call__(self, outcome: Outcome) -> None:
        if outcome.result is not None:
            for translate in self._translate:
                outcome.result = translate(outcome.result)
        self._finish(outcome)
