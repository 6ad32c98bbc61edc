"""Streams do not outlive what opened them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from authorisation_server import authorisation_server, robot_token
from garrison.catalog.issuers import IssuerSpec
from garrison.catalog.sections import Sections
from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.gateway import streams
from gateway.wired import META, MODERN, Wired
from running_fleet import Running, StartFleet, stdio

pytestmark = pytest.mark.slow

ROLE = RoleSpec(name="all", grants=(GrantSpec(servers=("*",), tools=("*",)),))
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with authorisation_server() as found:
        yield found


async def listening(running: Running, era: str, key: str) -> Wired:
    """A client whose stream is open."""
    client = await Wired(running, era, "/servers/demo/mcp", key=key).open()
    if era == "legacy":
        await client.send(b"", verb="GET", accept="text/event-stream", content_type=None)
    else:
        meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
        params: dict[str, Any] = {"notifications": {"toolsListChanged": True}, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params}
        await client.send(json.dumps(body).encode(), mcp_method="subscriptions/listen", mcp_name=None)
    await until(lambda: len(running.fleet.gateway.streams) > 0)
    return client


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.01)


async def ended(client: Wired) -> None:
    """The stream ends in order: its last chunk comes."""
    async with asyncio.timeout(DEADLINE_S):
        await client.receive()
    await client.hang_up()


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_stream_ends_soon_after_its_key_is_revoked(
    era: str, start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.05)
    running = await start_fleet(stdio("demo", "obedient"), roles=(ROLE,))
    client = await listening(running, era, running.key("all"))
    open_streams = running.fleet.gateway.streams
    looked, stays = [], open_streams.stays
    monkeypatch.setattr(open_streams, "stays", lambda call: looked.append(call) or stays(call))
    await until(lambda: len(looked) >= 3)
    assert len(open_streams) == 1
    running.fleet.keys.revoke("tester")
    await ended(client)
    assert len(running.fleet.gateway.streams) == 0


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_stream_ends_soon_after_its_tokens_issuer_is_gone(
    era: str, issuer: str, start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.05)
    spec = IssuerSpec(issuer=issuer, audiences=("https://nobody.example",), roles=("all",))
    sections = Sections(issuers={"tests": spec})
    running = await start_fleet(stdio("demo", "obedient"), roles=(ROLE,), sections=sections)
    client = await listening(running, era, await robot_token(issuer, f"{running.url}/servers/demo/mcp"))
    running.fleet.authenticator.replace({})
    await ended(client)
    assert len(running.fleet.gateway.streams) == 0
