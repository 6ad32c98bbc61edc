"""Waiting with a limit that holds in a task that is being cancelled too.

`asyncio.timeout` does not: up to Python 3.11.2, which Debian 12 has, its end looks like one more cancellation there
(CPython issue 102780), so that whatever cleans up after a cancellation would be cut short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def in_time(work: Awaitable[T], seconds: float) -> T:
    """The result of `work`. Raises `TimeoutError` when it takes longer; it has then been cancelled and has ended."""
    task: asyncio.Future[T] = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise TimeoutError(f"not within {seconds:g} s")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
