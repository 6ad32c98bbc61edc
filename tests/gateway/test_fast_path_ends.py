"""How calls end early that are on the fast path: once, with counts at zero, and the server told as on the long way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from garrison.gateway import flows
from gateway.twins import SERVERS, Pair, clients, hang_up, in_flight, settled, shown, the_same, twins, warm
from gateway.wired import META, Wired

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

TIMEOUT_S = 1.5
LOG_AFTER_S = 0.5
"""Of the server."""
FAR = [server for server in SERVERS if server.startswith("far")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows, "HOLDS_S", 60.0)
        async with AsyncExitStack() as stack:
            roots = (tmp_path_factory.mktemp("fast"), tmp_path_factory.mktemp("long"))
            yield await twins(stack, roots, timeout_s=TIMEOUT_S)


async def under_way(pair: Pair, both: tuple[Wired, Wired], what: str = "hang", others: int = 0) -> None:
    """A call of both is at the server, one of them on the fast path; `others` are under way already."""
    await warm(pair, both)
    before = pair.taken()
    for one in both:
        await one.send(one.body("do", {"what": what}, "it"))
    async with asyncio.timeout(20):
        while min(in_flight(running)["waiting"] for running in (pair.fast, pair.long)) <= others:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert pair.taken() == before + 1


async def heard(pair: Pair, both: tuple[Wired, Wired], number: int) -> list[str]:
    """How the servers were told, when they were; both in the same way."""
    for running in (pair.fast, pair.long):
        await settled(running)
    async with asyncio.timeout(20):
        while True:
            told = [json.loads((await one.call(what="heard")).text) for one in both]
            if min(map(len, told)) >= number:
                assert told[0] == told[1]
                return list(told[0])
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_client_that_goes_away_ends_its_call(pair: Pair, era: str, server: str) -> None:
    both = await clients(pair, era, "/servers/{}/mcp", server)
    before = await heard(pair, both, 0)
    await under_way(pair, both)
    await hang_up(both)
    after = await heard(pair, both, len(before) + 1)
    assert after[len(before) :] == ["closed" if server == "far_modern" else "cancelled"]
    await hang_up(both)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_cancels_its_call_by_its_id(pair: Pair, server: str) -> None:
    both = await clients(pair, "legacy", "/mcp", server)
    before = await heard(pair, both, 0)
    await under_way(pair, both)
    given_up = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "it"}}
    for one in both:
        assert (await (await one.beside()).post(json.dumps(given_up).encode())).status == 202
    fast, long = await asyncio.gather(*(one.receive() for one in both))
    assert shown(fast) == shown(long)
    assert fast.code == "call.cancelled"
    assert len(await heard(pair, both, len(before) + 1)) == len(before) + 1
    await hang_up(both)


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_servers_that_do_not_answer_in_time_are_told_to_stop(pair: Pair, era: str) -> None:
    each = [await clients(pair, era, "/mcp", server) for server in SERVERS]
    before = [len(await heard(pair, both, 0)) for both in each]
    for number, both in enumerate(each):
        await warm(pair, both)
        await under_way(pair, both, others=number)
    for number, both in enumerate(each):
        fast, long = await asyncio.gather(*(one.receive() for one in both))
        assert shown(fast) == shown(long)
        assert fast.code == "server.timeout"
        told = await heard(pair, both, before[number] + 1)
        assert len(told) == before[number] + 1, (SERVERS[number], told)
        await hang_up(both)


async def test_what_a_server_says_first_gives_it_no_more_time(pair: Pair) -> None:
    """A log is no sign of progress: the deadline that the call had on the fast path is that of its exchange."""
    both = await clients(pair, "modern", "/mcp", "near_modern")
    for one in both:
        one.meta = {f"{META}logLevel": "info"}
    await under_way(pair, both, "log and hang")
    assert len(_deadlines(pair)) == 1
    async with asyncio.timeout(20):
        while len(_deadlines(pair)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    fast, long = _deadlines(pair)
    assert abs(fast - long) < LOG_AFTER_S / 2
    await hang_up(both)


def _deadlines(pair: Pair) -> list[float]:
    """Of exchanges, in the loop's time; a call that is still on the fast path has none."""
    found = []
    for running in (pair.fast, pair.long):
        for upstream in running.fleet.directory.upstreams.values():
            replies = upstream.connection.replies() if upstream.connection is not None else ()
            found += [reply._deadline.when() for reply in replies if hasattr(reply, "_deadline")]
    return found


@pytest.mark.parametrize("server", FAR)
async def test_a_server_that_hangs_up_ends_its_call_alone(pair: Pair, server: str) -> None:
    both = await clients(pair, "modern", "/servers/{}/mcp", server)
    await warm(pair, both)
    before = pair.taken()
    fast, long = await asyncio.gather(*(one.call(what="hang up") for one in both))
    assert shown(fast) == shown(long)
    assert (fast.code, pair.taken()) == ("server.lost", before + 1)
    await warm(pair, both)
    await hang_up(both)


async def test_all_that_was_recorded_and_counted_is_the_same(pair: Pair) -> None:
    """Of all calls above; which of several ends first is chance."""
    await the_same(pair, in_order=False)


async def test_a_process_that_dies_ends_the_calls_at_it(pair: Pair) -> None:
    both = await clients(pair, "legacy", "/servers/{}/mcp", "near_legacy")
    await under_way(pair, both)
    killing = [await one.beside() for one in both]
    died = await asyncio.gather(*(one.call(what="die") for one in killing))
    ended = await asyncio.gather(*(one.receive() for one in both))
    assert {answer.code for answer in (*died, *ended)} == {"server.lost"}
    for running in (pair.fast, pair.long):
        await settled(running)
    await warm(pair, both)
    await hang_up(both)


async def test_a_draining_gateway_lets_calls_finish_and_can_end_those_that_do_not(pair: Pair) -> None:
    both = await clients(pair, "modern", "/mcp", "far_modern")
    other = await clients(pair, "modern", "/mcp", "far_modern")
    await under_way(pair, both, "wait")
    await warm(pair, other)
    for one in other:
        await one.send(one.body("do", {"what": "hang"}))
    await asyncio.gather(*(one.receive() for one in both))
    async with asyncio.timeout(20):
        while not all(in_flight(running)["waiting"] for running in (pair.fast, pair.long)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for running in (pair.fast, pair.long):
        running.fleet.gateway.drain()
        running.fleet.gateway.in_flight.cancel_all("shutting down")
    fast, long = await asyncio.gather(*(one.receive() for one in other))
    assert shown(fast) == shown(long)
    for running in (pair.fast, pair.long):
        await settled(running)
    await hang_up(both)
    await hang_up(other)
