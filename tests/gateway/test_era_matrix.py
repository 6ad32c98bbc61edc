"""The era matrix: every client era in front of every kind of server, over pipes and over HTTP, in everything that a
client can want. Each cell works.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from era_clients import META, Clients, Era, EraClient, Got, era_clients
from garrison.catalog.spec import ServerSpec
from remote_servers import remote
from running_fleet import running_fleet, stdio

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SCRIPTS = {"legacy": "legacy_only", "modern": "modern_only", "dual": "everything"}
UNIQUE = itertools.count(1)


@dataclass(frozen=True)
class Cell:
    """One client in front of one server."""

    client: EraClient
    able: EraClient
    """The same, with a user who can be asked."""
    own: EraClient
    """The same on the server's transparent endpoint."""
    server: str
    """The server's name: its kind and its transport."""

    @property
    def kind(self) -> str:
        return self.server.partition("_")[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    """One fleet with every kind of server, for the whole matrix."""
    async with AsyncExitStack() as stack:
        urls = await asyncio.gather(*(stack.enter_async_context(remote(script)) for script in SCRIPTS.values()))
        far = [
            ServerSpec(name=f"{kind}_http", transport="http", url=url) for kind, url in zip(SCRIPTS, urls, strict=True)
        ]
        near = [stdio(f"{kind}_stdio", script) for kind, script in SCRIPTS.items()]
        root = tmp_path_factory.mktemp("matrix")
        running = await stack.enter_async_context(running_fleet(root, (*far, *near)))
        yield await stack.enter_async_context(era_clients(running))


async def cell_of(clients: Clients, era: Era, server: str, path: str) -> Cell:
    own = await clients.get(era, f"/servers/{server}/mcp")
    return Cell(await clients.get(era, path), await clients.get(era, path, able=True), own, server)


# ── the duties ──


async def lists(cell: Cell) -> None:
    got = await cell.client.ask("tools/list")
    names = {tool["name"] for tool in got.result["tools"]}
    assert {cell.client.prefix.format(cell.server) + name for name in ("echo", "slow", "inquire")} <= names
    _in_the_clients_era(cell, got)
    assert ("cacheScope" in got.result) == ("ttlMs" in got.result) == (cell.client.era == "modern")


async def calls(cell: Cell) -> None:
    got = await cell.client.call("add", cell.server, a=2, b=3)
    assert got.result["structuredContent"] == {"sum": 5}
    _in_the_clients_era(cell, got)


async def progresses(cell: Cell) -> None:
    token = f"my own token {next(UNIQUE)}"
    name = cell.client.prefix.format(cell.server) + "slow"
    params = {"name": name, "arguments": {"steps": 3, "step_s": 0.02}, "_meta": {"progressToken": token}}
    got = await cell.client.ask("tools/call", params)
    assert [each["progress"] for each in got.of("notifications/progress")] == [1, 2, 3]
    assert {each["progressToken"] for each in got.of("notifications/progress")} == {token}
    assert got.kind == "text/event-stream"
    assert "done after 3 steps" in str(got.result)
    _in_the_clients_era(cell, got)


async def cancels(cell: Cell) -> None:
    """A legacy client sends a notification, a modern one closes the stream; the server hears it in its own way."""
    before = await _heard(cell)
    request_id = f"cancel-{next(UNIQUE)}"
    name = cell.client.prefix.format(cell.server) + "slow"
    params = {"name": name, "arguments": {"steps": 400, "step_s": 0.05}, "_meta": {"progressToken": 1}}
    async with cell.client.request("tools/call", params, request_id) as got:
        async for message in got:
            if message.get("method") != "notifications/progress":
                break
            if cell.client.era == "modern":
                break
            given_up = {"requestId": request_id, "reason": "changed my mind"}
            await cell.client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": given_up})
    async with asyncio.timeout(20):
        while "ended early" not in (heard := (await _heard(cell))[len(before) :]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    if cell.kind != "dual":  # what the SDK's server heard it does not say
        assert ("stream closed" if cell.server == "modern_http" else "notification") in heard


async def _heard(cell: Cell) -> list[str]:
    got = await cell.client.call("slow", cell.server, steps=0)
    found: list[str] = json.loads(got.result["content"][0]["text"])
    return found


async def elicits(cell: Cell) -> None:
    await _asked(cell, "elicitation", "elicitation/create", '"name": "Ada"')


async def samples(cell: Cell) -> None:
    await _asked(cell, "sampling", "sampling/createMessage", "Paris")


async def _asked(cell: Cell, what: str, method: str, said: str) -> None:
    cell.able.questions.clear()
    got = await cell.able.call("inquire", cell.server, what=what)
    assert said in got.result["content"][0]["text"]
    assert cell.able.questions == [method]
    assert cell.able.rounds == (1 if cell.client.era == "legacy" else 2), "on the stream, or by a round trip"
    _in_the_clients_era(cell, got)
    undeclared = await cell.client.call("inquire", cell.server, what=what)
    assert "did not declare" in undeclared.error["message"]


async def subscribes(cell: Cell) -> None:
    before = await cell.client.ask("tools/list")
    if cell.client.era == "legacy":
        await _hears_on_its_stream(cell)
    else:
        await _hears_on_its_subscription(cell)
    async with asyncio.timeout(20):
        while len((await cell.client.ask("tools/list")).result["tools"]) == len(before.result["tools"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _hears_on_its_stream(cell: Cell) -> None:
    async with cell.client.listen() as got:
        await cell.client.call("grow", cell.server)
        async with asyncio.timeout(20):
            async for message in got:
                assert "id" not in message
                if message["method"] == "notifications/tools/list_changed":
                    return
    raise AssertionError("the stream ended")


async def _hears_on_its_subscription(cell: Cell) -> None:
    own = f"listen-{next(UNIQUE)}"
    wanted = {"notifications": {"toolsListChanged": True}}
    async with cell.client.request("subscriptions/listen", wanted, own) as got, asyncio.timeout(20):
        async for message in got:
            assert message["params"]["_meta"] == {f"{META}subscriptionId": own}
            if message["method"] == "notifications/tools/list_changed":
                return
            assert message["method"] == "notifications/subscriptions/acknowledged"
            assert message["params"]["notifications"] == {"toolsListChanged": True}
            await cell.client.call("grow", cell.server)
    raise AssertionError("the stream ended")


async def fails(cell: Cell) -> None:
    """A tool's failure, a server's own error, an unknown name, an unknown method: as the client's era has it."""
    failed = await cell.client.call("fail", cell.server, message="no luck")
    assert failed.result["isError"] is True
    _in_the_clients_era(cell, failed)
    refused = await cell.client.call("refuse", cell.server, code=-32077)
    assert (refused.error["code"], refused.error["message"]) == (-32077, "refused as asked")
    assert refused.status == 200
    unknown = await cell.own.ask("prompts/get", {"name": "nobody's"})
    assert unknown.error["code"] == -32602
    assert unknown.status == (200 if unknown.kind != "application/json" or cell.client.era == "legacy" else 400)
    no_method = await cell.own.ask("no/such")
    assert no_method.error["code"] == -32601


def _in_the_clients_era(cell: Cell, got: Got) -> None:
    assert got.status == 200
    assert ("resultType" in got.result) == (cell.client.era == "modern")


DUTIES: dict[str, Callable[[Cell], Awaitable[None]]] = {
    "list": lists,
    "call": calls,
    "progress": progresses,
    "cancel": cancels,
    "elicit": elicits,
    "sample": samples,
    "subscribe": subscribes,
    "error": fails,
}


@pytest.mark.parametrize("duty", DUTIES)
@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_on_the_transparent_endpoint(clients: Clients, era: Era, kind: str, transport: str, duty: str) -> None:
    server = f"{kind}_{transport}"
    async with asyncio.timeout(30):
        await DUTIES[duty](await cell_of(clients, era, server, f"/servers/{server}/mcp"))


@pytest.mark.parametrize("duty", ["list", "call", "progress", "cancel", "elicit", "subscribe", "error"])
@pytest.mark.parametrize("server", ["legacy_stdio", "legacy_http", "modern_stdio", "modern_http"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_on_the_aggregate(clients: Clients, era: Era, server: str, duty: str) -> None:
    async with asyncio.timeout(30):
        await DUTIES[duty](await cell_of(clients, era, server, "/mcp"))
