"""What changes between two calls is felt at once on the fast path, although it decides nothing anew."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fixtures.servers.obedient import Http, Obedient
from garrison.catalog.spec import Filter, GrantSpec, Offer, ProfileSpec, RoleSpec, Selection, ServerSpec
from garrison.gateway import flows
from garrison.gateway.stages import limit
from garrison.identity.keys import KeyStore
from garrison.surfaces.setting_groups.calls import LimitSettings, RetrySettings
from garrison.surfaces.setting_groups.pins import PinSettings
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring import fleet as wiring
from garrison.telemetry.redaction import redactor
from gateway.twins import in_flight, near_modern, settled
from gateway.wired import Answer, Wired
from running_fleet import Running, StartFleet, snapshot_of, stdio

pytestmark = pytest.mark.slow
NO_PINS = Settings(pins=PinSettings(mode="off"))
"""For servers whose tools may come to be defined otherwise."""


@pytest.fixture(autouse=True)
def _flows_hold_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is felt only because a flow's time was over."""
    monkeypatch.setattr(flows, "HOLDS_S", 60.0)


@asynccontextmanager
async def far(name: str = "one", *, modern: bool = True, **more: Any) -> AsyncIterator[ServerSpec]:
    """A server over HTTP in this process."""
    http = Http(Obedient(modern=modern, name=name))
    server = await asyncio.start_server(http.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    try:
        yield ServerSpec(name="one", transport="http", url=url, **more)
    finally:
        server.close()


def taken(running: Running) -> int:
    return running.fleet.gateway._fast.taken


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def client(running: Running, era: str = "modern", path: str = "/servers/one/mcp", **more: Any) -> Wired:
    found = await Wired(running, era, path, **more).open()
    found.prefix = "" if "/servers/" in path else "one__"
    return found


async def warm(one: Wired, what: str = "say") -> None:
    """Until its calls take the fast path."""
    for _ in range(20):
        before = taken(one.running)
        assert (await one.call(what=what)).status == 200
        if taken(one.running) > before:
            return
    raise AssertionError("no call takes the fast path")


async def after(one: Wired, what: str = "say", **more: Any) -> Answer:
    """The next call, which does not take the fast path."""
    before = taken(one.running)
    answer = await one.call(what=what, **more)
    assert taken(one.running) == before
    await settled(one.running)
    return answer


async def closed(*clients: Wired) -> None:
    for one in clients:
        await one.hang_up()


# ── who asks ──


async def test_a_revoked_key_is_refused_at_once(start_fleet: StartFleet) -> None:
    async with far() as spec:
        running = await start_fleet(spec)
        one = await client(running, key=running.key("admin", name="ada"))
        await warm(one)
        running.fleet.keys.revoke("ada")
        assert (await after(one)).status == 401
        await closed(one)


async def test_a_key_that_another_process_revoked_is_refused_however_busily_it_is_used(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "HOLDS_S", 0.5)
    async with far() as spec:
        running = await start_fleet(spec)
        one = await client(running, key=running.key("admin", name="ada"))
        await warm(one, "odd")  # such a call begins on the fast path and ends through the stages
        other = KeyStore(running.fleet.home.keys)
        other.revoke("ada")
        other.close()
        async with asyncio.timeout(20):
            while (await one.call(what="odd")).status != 401:
                pass
        await closed(one)


async def test_a_key_serves_until_it_expires_and_not_longer(start_fleet: StartFleet) -> None:
    async with far() as spec:
        running = await start_fleet(spec)
        ends_ns = time.time_ns() + 1_500_000_000
        one = await client(running, key=running.fleet.keys.create("ada", ("admin",), ends_ns)[1])
        await warm(one)
        await until(lambda: time.time_ns() >= ends_ns)
        assert (await after(one)).status == 401
        await closed(one)


async def test_a_role_that_is_taken_away_is_missed_at_once(start_fleet: StartFleet) -> None:
    async with far() as spec:
        running = await start_fleet(spec, roles=(RoleSpec(name="some", grants=(GrantSpec(tools=("do",)),)),))
        one = await client(running, key=running.key("some"))
        await warm(one)
        running.fleet.authoriser.replace({"some": RoleSpec(name="some", grants=(GrantSpec(tools=("tell",)),))})
        assert (await after(one)).status == 400
        await closed(one)


@pytest.mark.parametrize("what", ["key", "role"])
async def test_what_was_taken_away_while_a_call_was_at_its_server_is_not_learned_from_it(
    start_fleet: StartFleet, what: str
) -> None:
    async with far() as spec:
        running = await start_fleet(spec, roles=(RoleSpec(name="some", grants=(GrantSpec(tools=("do",)),)),))
        one = await client(running, key=running.key("some", name="ada"))
        await one.send(one.body("do", {"what": "wait"}))
        await until(lambda: len(running.fleet.gateway.in_flight))
        if what == "key":
            running.fleet.keys.revoke("ada")
        else:
            running.fleet.authoriser.replace({})
        assert (await one.receive()).status == 200
        assert [(await after(one)).status for _ in range(2)] == [401 if what == "key" else 400] * 2
        await closed(one)


@pytest.mark.parametrize("session", ["shared", "isolated"])
async def test_a_session_that_was_ended_is_not_known_and_never_was_anybody_elses(
    start_fleet: StartFleet, session: str
) -> None:
    running = await start_fleet(stdio("one", "obedient", session=session))
    stranger = Wired(running, "legacy", "/servers/one/mcp", key=running.key("admin", name="alan"))
    one = await client(running, "legacy")
    await warm(one)
    assert (await after(stranger.resume(one.session))).status == 404
    beside = await one.beside()
    assert (await beside.post(b"", verb="DELETE", content_type=None)).status < 300
    assert (await after(one)).status == 404
    await closed(one, stranger)


async def test_the_record_says_from_where_each_call_came(start_fleet: StartFleet) -> None:
    async with far() as spec:
        running = await start_fleet(spec)
        here, there = await client(running), await client(running, address="127.0.0.2")
        await warm(here)
        await warm(there)
        await warm(here)
        await closed(here, there)
    places = [entry.detail["from"] for entry in running.records() if entry.kind == "call.outcome"]
    assert (places[0], places[-1]) == ("127.0.0.1", "127.0.0.1")
    assert "127.0.0.2" in places
    assert sorted(places) == [*["127.0.0.1"] * places.count("127.0.0.1"), *["127.0.0.2"] * places.count("127.0.0.2")]


async def test_a_new_secret_is_in_no_further_record(start_fleet: StartFleet) -> None:
    async with far() as spec:
        running = await start_fleet(spec)
        one = await client(running)
        one.meta = {"io.modelcontextprotocol/clientInfo": {"name": "fast-path-hush-hush", "version": "1"}}
        await warm(one)
        redactor.add("fast-path-hush-hush")
        await warm(one)
        *_, last = running.records()
        assert (last.kind, last.detail["client"]) == ("call.outcome", "[redacted]")
        await closed(one)


# ── what is there ──


@pytest.mark.parametrize("path", ["/servers/one/mcp", "/mcp"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_arguments_are_judged_by_the_schema_that_a_tool_has_now(
    start_fleet: StartFleet, era: str, path: str
) -> None:
    running = await start_fleet(near_modern("one"), settings=NO_PINS)
    one = await client(running, era, path)
    await warm(one)
    upstream = running.fleet.directory.upstreams["one"]
    await one.call(what="require")
    await until(lambda: "note" in upstream.tools["do"].content["inputSchema"]["required"])
    refused = await after(one)
    assert refused.last["error"]["code"] == -32602
    assert (await one.call(what="say", note=1)).status == 200
    await closed(one)


async def test_what_a_clients_own_process_has_come_to_demand_is_demanded_of_that_client_alone(
    start_fleet: StartFleet,
) -> None:
    running = await start_fleet(stdio("one", "obedient"), settings=NO_PINS)
    ada, alan = await client(running, "legacy"), await client(running, "legacy")
    await warm(ada)
    await warm(alan)
    await ada.call(what="require")
    await until(lambda: running.fleet.gateway.own.views)
    view = running.fleet.gateway.own.views_of(next(iter(running.fleet.gateway.own._open))[0])["one"]
    await until(lambda: view.listed)
    assert (await after(ada)).last["error"]["code"] == -32602
    await warm(alan)
    await closed(ada, alan)


@pytest.mark.parametrize("path", ["/servers/one/mcp", "/mcp", "/profiles/some/mcp"])
async def test_a_filter_or_profile_that_leaves_a_tool_out_does_so_at_once(start_fleet: StartFleet, path: str) -> None:
    async with far() as spec:
        some = ProfileSpec(name="some", servers={"one": Selection()})
        running = await start_fleet(spec, profiles=(some,))
        one = await client(running, path=path)
        await warm(one)
        filtered = ServerSpec(name="one", transport="http", url=spec.url, tools=Offer(deny=("do",)))
        less = ProfileSpec(name="some", servers={"one": Selection(tools=Filter(deny=("do",)))})
        changed = ((spec,), (), (less,)) if path.startswith("/profiles") else ((filtered,), (), (some,))
        await wiring.apply(running.fleet, snapshot_of(*changed))
        assert (await after(one)).last["error"]["code"] == -32602
        await closed(one)


async def test_a_server_that_is_taken_away_is_gone_and_another_at_its_place_is_asked(start_fleet: StartFleet) -> None:
    async with far() as spec, far("two") as other:
        running = await start_fleet(spec)
        one = await client(running)
        await warm(one, "name")
        await wiring.apply(running.fleet, snapshot_of((other,)))
        await running.fleet.supervisor.settled()
        await running.fleet.directory.settled()
        await warm(one, "name")
        assert (await one.call(what="name")).text == "two"
        await wiring.apply(running.fleet, snapshot_of(()))
        assert (await after(one)).code == "server.unknown"
        await closed(one)


async def test_a_server_that_died_is_asked_again_in_its_next_life(start_fleet: StartFleet) -> None:
    running = await start_fleet(near_modern("one"))
    one = await client(running)
    await warm(one, "pid")
    before = (await one.call(what="pid")).text
    assert (await one.call(what="die")).code == "server.lost"
    await until(lambda: running.fleet.directory.upstreams["one"].connection is not None)
    await running.fleet.directory.settled()
    await warm(one, "pid")
    assert (await one.call(what="pid")).text != before
    await closed(one)


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_an_own_process_that_died_is_followed_by_another(start_fleet: StartFleet, era: str) -> None:
    running = await start_fleet(stdio("one", "obedient"))
    one = await client(running, era)
    await warm(one, "pid")
    before = (await one.call(what="pid")).text
    assert (await one.call(what="die")).code == "server.lost"
    assert (await after(one, "pid")).text != before
    await warm(one)
    await closed(one)


async def test_calls_are_spread_over_instances_and_go_on_when_one_is_killed(start_fleet: StartFleet) -> None:
    running = await start_fleet(near_modern("one", instances=2))
    one = await client(running)
    await warm(one, "pid")
    before = taken(running)
    pids = {(await one.call(what="pid")).text for _ in range(6)}
    assert (len(pids), taken(running)) == (2, before + 6)
    pool = running.fleet.directory.upstreams["one"].pool
    assert pool is not None
    os.kill(int(min(pids)), 9)
    await until(lambda: len(pool) < 2 or any(member.connection.closed for member in pool.members.values()))
    left = [await one.call(what="pid") for _ in range(6)]
    assert min(pids) not in [answer.text for answer in left]
    await settled(running)
    await closed(one)


# ── what may be done now ──


async def test_an_open_breaker_leaves_a_server_alone(start_fleet: StartFleet) -> None:
    async with far(timeout_s=60.0) as spec:
        running = await start_fleet(spec, settings=Settings(retry=RetrySettings(retries_max=0)))
        one = await client(running)
        await warm(one)
        for _ in range(5):
            assert (await one.call(what="hang up")).code == "server.lost"
        assert (await after(one)).code == "breaker.open"
        await closed(one)


async def test_the_breaker_of_a_clients_own_process_hears_of_calls_on_the_fast_path(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "obedient", timeout_s=0.3))
    one, other = await client(running, "legacy"), await client(running, "legacy")
    await warm(one)
    await warm(other)
    before = taken(running)
    hangs = [one.body("do", {"what": "hang"}, number) for number in range(5)]
    beside = [Wired(running, "legacy", one.path).resume(one.session) for _ in hangs]
    answers = await asyncio.gather(*(each.post(body) for each, body in zip(beside, hangs, strict=True)))
    assert {answer.code for answer in answers} == {"server.timeout"}
    assert taken(running) == before + 5
    assert (await after(one)).code == "breaker.open"
    assert (await other.call()).last["error"]["code"] == -32602, "somebody else's is well: it judges the arguments"
    await closed(one, other, *beside)


@pytest.mark.parametrize("fast", [True, False])
async def test_who_has_used_up_the_rate_is_refused_on_both_ways(start_fleet: StartFleet, fast: bool) -> None:
    async with far() as spec:
        few = Settings(limits=LimitSettings(calls_per_s=0.001, burst=8))
        running = await start_fleet(spec, settings=few)
        running.fleet.gateway._fast.enabled = fast
        one = await client(running)
        statuses = [(await one.call(what="say")).status for _ in range(10)]
        assert statuses == [200] * 8 + [429] * 2
        assert (taken(running) > 0) == fast
        await settled(running)
        await closed(one)


@pytest.mark.parametrize("limits", [LimitSettings(concurrent_calls=2), LimitSettings(concurrent_calls_per_server=2)])
async def test_no_more_calls_at_once_than_on_the_long_way(start_fleet: StartFleet, limits: LimitSettings) -> None:
    async with far() as spec:
        running = await start_fleet(spec, settings=Settings(limits=limits))
        one, two, three = [await client(running) for _ in range(3)]
        await warm(one)
        before = taken(running)
        for each in (one, two):
            await each.send(each.body("do", {"what": "hang"}))
        await until(lambda: len(running.fleet.gateway.in_flight) == 2)
        assert taken(running) == before + 2
        assert (await three.call()).status == 429
        await closed(one, two)
        await settled(running)
        await warm(three)
        await closed(three)


async def test_an_account_that_was_forgotten_is_not_counted_in(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with far() as spec:
        running = await start_fleet(spec)
        one, another = await client(running), await client(running, key=running.key("admin", name="alan"))
        await warm(one)
        monkeypatch.setattr(limit, "PRINCIPALS_MAX", 1)
        assert (await another.call(what="say")).status == 200
        assert (await after(one, "error")).status == 200
        await warm(one)
        await closed(one, another)


async def test_nothing_new_is_taken_in_while_the_gateway_drains(start_fleet: StartFleet) -> None:
    async with far() as spec:
        running = await start_fleet(spec)
        one, two = await client(running), await client(running)
        await warm(one)
        await two.send(two.body("do", {"what": "wait"}))
        await until(lambda: len(running.fleet.gateway.in_flight))
        running.fleet.gateway.drain()
        assert (await one.call()).code == "gateway.draining"
        assert (await two.receive()).status == 200
        await settled(running)
        await closed(one, two)


async def test_without_a_ledger_nothing_begins_and_what_ends_is_not_passed_on(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with far() as spec:
        running = await start_fleet(spec)
        one, two = await client(running), await client(running)
        await warm(one)
        before, writer = taken(running), running.fleet.ledger._writer
        await two.send(two.body("do", {"what": "wait"}))
        await until(lambda: taken(running) > before)
        with monkeypatch.context() as patch:
            patch.setattr(writer, "_commit", _no_space)
            writer.hurry()
            await until(lambda: running.fleet.ledger.problem)
            assert (await one.call(what="say")).code == "ledger.unwritable"
            assert taken(running) == before + 1
            assert (await two.receive()).code == "ledger.unwritable"
        assert not any(in_flight(running).values())
        await closed(one, two)


def _no_space() -> None:
    raise OSError("no space left")


# ── what is kept ──


async def test_flows_are_forgotten_when_their_time_is_over_and_hold_no_body(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with far() as spec:
        running = await start_fleet(spec)
        table = running.fleet.gateway._fast._decisions._flows
        monkeypatch.setattr(flows, "HOLDS_S", 0.3)
        clients = [await client(running, address=f"127.0.0.{number}") for number in range(2, 8)]
        for each in clients:
            await warm(each)
        kept = [flow for _, _, flow in table._flows]
        assert all(value.copy() is value for flow in kept for value in flow.params.values()), "none is a view of a body"
        ends_ns = max(flow.until_ns for flow in kept)
        await until(lambda: time.monotonic_ns() > ends_ns)
        await warm(clients[0])
        assert len(table) == 1
        await closed(*clients)
