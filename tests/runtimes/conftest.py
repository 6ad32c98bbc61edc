from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from garrison.runtimes import kernelcalls, strays
from garrison.runtimes.reaper import Reaper
from runtimes.small_fleet import Fleet


def pytest_asyncio_loop_factories(config: object, item: object) -> dict[str, object]:
    """Everything here must hold on the loop that we use and on Python's own."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    await made.supervisor.stop_all()
    assert strays.find(made.fleet_id) == []


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    """This process adopts orphans for the time of one test."""
    made = Reaper()
    made.adopt()
    yield made
    kernelcalls._prctl(kernelcalls.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
