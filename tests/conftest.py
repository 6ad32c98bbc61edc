"""For all tests: the event loop is the one that the node runs on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell, we and whatever we start would ignore Ctrl-C, which tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
