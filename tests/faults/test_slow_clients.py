"""Clients that send or read too slowly: they are cut off, what they hold is bounded, and others are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from faults.load import Caller, kind_of
from garrison.surfaces.edge import protocol
from running_fleet import Running, StartFleet, start_fleet, stdio

__all__ = ["start_fleet"]

pytestmark = pytest.mark.slow

SLOW_CLIENTS = 100
DEADLINE_S = 0.4


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_TIMEOUT_S", "BODY_TIMEOUT_S", "STALLED_S"):
        monkeypatch.setattr(protocol, name, DEADLINE_S)


async def drip(caller: Caller, data: bytes, whole: int) -> tuple[int, bytes]:
    """Send the first bytes at once and then one by one, until somebody hangs up; how many went, and the answer."""
    reader, writer = await caller.streams()
    answer = asyncio.ensure_future(reader.read())
    sent = whole
    try:
        writer.write(data[:whole])
        while not answer.done() and sent < len(data):
            writer.write(data[sent : sent + 1])
            sent += 1
            await asyncio.wait({answer}, timeout=0.05)
        return sent, await asyncio.wait_for(answer, 20)
    except ConnectionError:
        return sent, b""
    finally:
        caller.close()


async def others_are_served(running: Running, slow: Awaitable[object]) -> tuple[object, float]:
    """Call as long as the slow ones last; the longest that a call took."""
    waiting, caller, longest_s = asyncio.ensure_future(slow), Caller(running.url, running.admin_key), 0.0
    while not waiting.done():
        began_s = time.monotonic()
        assert kind_of(await caller.call("echo", text="still here")) == "ok"
        longest_s = max(longest_s, time.monotonic() - began_s)
        await asyncio.wait({waiting}, timeout=0.02)
    caller.close()
    return await waiting, longest_s


@pytest.mark.usefixtures("short_deadlines")
@pytest.mark.parametrize("part", ["nothing", "the head", "the body"])
async def test_who_sends_too_slowly_is_told_so_and_cut_off(start_fleet: StartFleet, part: str) -> None:
    running = await start_fleet(stdio("one", "modern_only"))
    data = Caller(running.url, running.admin_key).request("echo", text="x" * 1000)
    whole = {"nothing": 0, "the head": 20, "the body": data.index(b"\r\n\r\n") + 10}[part]
    callers = [Caller(running.url, running.admin_key) for _ in range(SLOW_CLIENTS)]
    slow = asyncio.gather(*(drip(caller, data, whole) if whole else idle(caller) for caller in callers))
    answers, longest_s = await others_are_served(running, slow)
    assert isinstance(answers, list)
    assert all(answer.startswith(b"HTTP/1.1 408") for _, answer in answers)
    assert all(sent < len(data) for sent, _ in answers)
    print(f"{SLOW_CLIENTS} slow with {part}: others waited {longest_s * 1000:.0f} ms at most")  # noqa: T201


async def idle(caller: Caller) -> tuple[int, bytes]:
    reader, _ = await caller.streams()
    try:
        return 0, await asyncio.wait_for(reader.read(), 20)
    finally:
        caller.close()


REQUESTS = 40
RESULT_BYTES = 1 << 20


async def test_who_does_not_read_is_not_served_further(start_fleet: StartFleet) -> None:
    """Forty results of a megabyte are asked for and none is read: but for a few, they are not even made."""
    running = await start_fleet(stdio("one", "modern_only"))
    caller = Caller(running.url, running.admin_key)
    reader, writer = await caller.streams()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(caller.request("big", size_bytes=RESULT_BYTES) * REQUESTS)
    _, longest_s = await others_are_served(running, asyncio.sleep(1.5))
    made = calls_of(running, "big")
    print(f"{made} of {REQUESTS} results were made; others waited {longest_s * 1000:.0f} ms at most")  # noqa: T201
    assert 1 <= made <= 8, "what fits into the sockets' buffers, and one"
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(REQUESTS):
        assert kind_of(await asyncio.wait_for(caller.answer(reader), 20)) == "ok"
    assert calls_of(running, "big") == REQUESTS, "who reads on gets everything"
    caller.close()


def calls_of(running: Running, tool: str) -> int:
    return sum(entry.kind == "call.outcome" and entry.target == tool for entry in running.records())


@pytest.mark.usefixtures("short_deadlines")
async def test_who_stops_reading_for_good_is_cut_off(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only"))
    caller = Caller(running.url, running.admin_key)
    reader, writer = await caller.streams()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(caller.request("big", size_bytes=16 * RESULT_BYTES))
    async with asyncio.timeout(20):
        while not calls_of(running, "big"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    _, longest_s = await others_are_served(running, asyncio.sleep(3 * DEADLINE_S))
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(caller.answer(reader), 20)
    print(f"cut off; others waited {longest_s * 1000:.0f} ms at most")  # noqa: T201
    caller.close()
