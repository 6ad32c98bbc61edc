"""Calls that wait for an approval: told when it is decided, here or in another process, and kept alive until then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from garrison.gateway import outbound
from garrison.gateway.call import Call
from garrison.gateway.heads import reading_of
from garrison.kernel.errors import TimedOut
from garrison.protection.approvals import Approvals

LOOK_S: Final = 0.25
"""How often it is looked whether something was decided, while calls wait."""
ALIVE_S: Final = 10.0
WAITING_MAX: Final = 500


class Waiting:
    """`approvals`: the queue that is watched as long as somebody waits."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals
        self._waiting: dict[asyncio.Future[None], str] = {}
        self._edition: object = None
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= WAITING_MAX

    async def decided(self, call: Call, approval_id: str, wait_s: float) -> bool:
        """True as soon as it is decided, False when it is not in time. Raises `TimedOut` when the client goes away."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = approval_id
        self._look_again()
        alive = _keep_alive(call)
        call.on_cancel = _cancelling(future)
        try:
            await asyncio.wait_for(future, wait_s)
        except TimeoutError:
            return False
        finally:
            alive()
            self._waiting.pop(future, None)
            call.on_cancel = None
        return True

    def _look_again(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        edition = self._approvals.edition
        if edition != self._edition:
            self._edition = edition
            over = {one.id for one in self._approvals.list() if one.state != "pending"}
            for future, approval_id in self._waiting.items():
                if approval_id in over and not future.done():
                    future.set_result(None)
        self._look_again()

    def close(self) -> None:
        """The fleet ends; whoever waits is told so."""
        if self._timer is not None:
            self._timer.cancel()
        for future in tuple(self._waiting):
            if not future.done():
                future.set_exception(TimedOut("call.cancelled", "the call was given up: the fleet ends"))


def _cancelling(future: asyncio.Future[None]) -> Callable[[str], None]:
    def cancel(reason: str) -> None:
        if not future.done():
            future.set_exception(TimedOut("call.cancelled", f"the call was given up: {reason}"))

    return cancel


def _keep_alive(call: Call) -> Callable[[], None]:
    """Signs of life on a stream, for clients that take one; gives what ends them."""
    if not call.streaming:
        if not reading_of(call.request.head).accepts_stream:
            return lambda: None
        call.streaming = True
        call.sink.open_stream(outbound.STREAM)
    loop = asyncio.get_running_loop()
    timer: list[asyncio.TimerHandle] = []

    def beat() -> None:
        call.sink.keep_alive_comment()
        timer[:] = [loop.call_later(ALIVE_S, beat)]

    beat()
    return lambda: timer[0].cancel()
