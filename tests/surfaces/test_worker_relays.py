"""A second worker reaches servers behind pipes through the first: both in this process, the servers in their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from brought_up import META
from garrison.catalog.spec import ServerSpec
from garrison.gateway.call import HttpRequest
from garrison.gateway.heads import Head
from garrison.gateway.worker import Worker
from garrison.kernel.home import Home
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring import fleet as wiring
from running_fleet import snapshot_of, stdio

pytestmark = pytest.mark.slow

Start = Callable[..., Awaitable[tuple[wiring.Fleet, wiring.Fleet]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """The primary and another worker of one fleet, with these servers."""
    async with AsyncExitStack() as stack:

        async def both(*servers: ServerSpec) -> tuple[wiring.Fleet, wiring.Fleet]:
            snapshot, home, found = snapshot_of(servers), Home(tmp_path / "home"), []
            for number in (1, 2):
                fleet = wiring.build(home, Settings(), snapshot, f"test-{tmp_path.name}", Worker(number, 2))
                stack.push_async_callback(end, fleet)
                if number == 1:
                    await fleet.relays.open(home.run, fleet.supervisor, fleet.gateway, fleet.dialer)
                await fleet.supervisor.apply(snapshot)
                found.append(fleet)
            for fleet in found:
                await fleet.supervisor.settled()
                await fleet.directory.settled()
            return found[0], found[1]

        yield both


async def end(fleet: wiring.Fleet) -> None:
    await fleet.relays.close()
    await wiring.stop(fleet)
    await asyncio.to_thread(fleet.ledger.close)
    fleet.keys.close()


class Sink:
    """What came, awaited; events of a stream are kept."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.session = ""
        self.events: list[dict[str, Any]] = []

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.session = headers.get("mcp-session-id", "")
        self.answer.set_result(json.loads(body) if body else {})

    def open_stream(self, headers: Mapping[str, str]) -> None: ...

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        self.events.append(json.loads(frame))

    def keep_alive_comment(self) -> None: ...

    def end_stream(self) -> None:
        self.answer.set_result(self.events[-1] if self.events else {})

    def on_disconnect(self, callback: Callable[[], None]) -> None: ...


def send(fleet: wiring.Fleet, message: dict[str, Any], **more: str) -> Sink:
    """To the server `one`, with the admin key."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {fleet.home.admin_key.read_text()}"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    sink = Sink()
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    fleet.gateway.handle(HttpRequest(Head("POST", "/servers/one/mcp", headers), body), sink)
    return sink


def call(fleet: wiring.Fleet, tool: str, **arguments: object) -> Sink:
    params = {"name": tool, "arguments": arguments, "_meta": {**META, "progressToken": "mine"}}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": tool}
    return send(fleet, {"id": 1, "method": "tools/call", "params": params}, **headers)


async def said(sink: Sink) -> str:
    answer = await asyncio.wait_for(sink.answer, 20)
    return str(answer.get("result", answer)["content"][0]["text"] if "result" in answer else answer)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", ["modern_only", "legacy_only"])
async def test_both_use_the_one_process_and_progress_finds_its_own_call(start: Start, script: str) -> None:
    primary, other = await start(stdio("one", script, session="shared"))
    assert [await said(call(fleet, "count")) for fleet in (primary, other, primary, other)] == ["1", "2", "3", "4"]
    slow = [call(fleet, "slow", steps=3, step_s=0.05) for fleet in (primary, other) for _ in range(3)]
    await asyncio.gather(*(asyncio.wait_for(one.answer, 20) for one in slow))
    for one in slow:
        told = [event["params"] for event in one.events if event.get("method") == "notifications/progress"]
        assert [each["progress"] for each in told] == [1, 2, 3]
        assert {each["progressToken"] for each in told} == {"mine"}


async def test_a_server_that_dies_is_found_again_and_a_restart_loses_no_call(start: Start) -> None:
    primary, other = await start(stdio("one", "modern_only"))
    lost = await asyncio.wait_for(call(other, "crash").answer, 20)
    assert lost["error"]["code"] == -32055
    await until(lambda: "one" in other.supervisor.observed() and other.supervisor.observed()["one"].restarts)
    await until(lambda: other.supervisor.observed()["one"].state == "running")
    assert await said(call(other, "count")) == "1"
    slow = call(other, "slow", steps=2, step_s=0.3)
    await until(lambda: primary.relays.busy("one"))
    await primary.supervisor.restart("one")
    assert "result" in await asyncio.wait_for(slow.answer, 20), "it was waited for"
    await until(lambda: other.supervisor.observed()["one"].state == "running")
    assert await said(call(other, "count")) == "1"


async def test_a_lazy_server_is_started_by_whoever_needs_it(start: Start) -> None:
    primary, other = await start(stdio("one", "modern_only", start="lazy"))
    assert primary.supervisor.observed()["one"].state == "stopped"
    assert await said(call(other, "echo", text="hello")) == "hello"
    assert primary.supervisor.observed()["one"].state == "running"


async def test_each_instance_is_reached_once_under_a_number_of_its_own(start: Start) -> None:
    primary, other = await start(stdio("one", "modern_only", instances=2))
    assert len(other.supervisor.links("one")) == 2
    seen = [{each.number: each.pid for each in one.supervisor.observed()["one"].each} for one in (primary, other)]
    assert set(seen[0]) == set(seen[1]) == {1, 2}
    assert sorted(seen[0].values()) == sorted(seen[1].values()), "each process once; which is the first, nobody says"


async def test_a_server_that_cannot_run_is_away_at_both_for_the_same_reason(start: Start) -> None:
    primary, other = await start(ServerSpec(name="one", transport="stdio", command=("/no/such/program",)))
    told = other.supervisor.observed()["one"]
    assert told.state == "backoff"
    assert primary.supervisor.observed()["one"].error in told.error


async def test_a_client_that_can_be_asked_has_a_process_of_its_own_that_ends_with_its_session(start: Start) -> None:
    primary, other = await start(stdio("one", "legacy_only"))
    client = {"clientInfo": {"name": "t", "version": "1"}, "capabilities": {"elicitation": {}}}
    hello = send(other, {"id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25", **client}})
    await asyncio.wait_for(hello.answer, 20)
    named = {"mcp_session_id": hello.session, "mcp_protocol_version": "2025-11-25"}
    asked = send(other, {"id": 1, "method": "tools/call", "params": ASK}, accept="text/event-stream, */*", **named)
    await until(lambda: asked.events)
    question = asked.events[0]
    assert question["method"] == "elicitation/create"
    answer = {"action": "accept", "content": {"name": "Ada"}}
    send(other, {"id": question["id"], "result": answer}, **named)
    assert "Ada" in str(await asyncio.wait_for(asked.answer, 20))
    assert primary.relays.own("one") == 1
    other.gateway.own.end(next(iter(other.gateway.own._open))[0])
    await until(lambda: primary.relays.own("one") == 0)


ASK = {"name": "inquire", "arguments": {"what": "elicitation"}}
