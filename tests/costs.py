"""What a step costs, as a multiple of a fixed piece of work done on the same machine a moment before.

Stopwatches lie on shared machines; the least of a few tries beside a reference does not.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

TRIES = 3


def cost(step: Callable[[], object], affordable: float) -> float:
    """The least cost of a few tries, in references (some milliseconds each); the first affordable one ends it."""
    least = float("inf")
    for _ in range(TRIES):
        reference_s = _thread_s(_reference)
        least = min(least, _thread_s(step) / reference_s)
        if least < affordable:
            break
    return least


def _reference() -> int:
    return sum(number * number for number in range(100_000))


def _thread_s(step: Callable[[], object]) -> float:
    """The processor time of this thread; a collection of what other tests left behind is not the step's."""
    gc.disable()
    try:
        started = time.thread_time()
        step()
        return time.thread_time() - started
    finally:
        gc.enable()
