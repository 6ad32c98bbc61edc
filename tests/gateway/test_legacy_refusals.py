"""A modern server that fails a legacy handshake: for good only where that was its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import modern_only
import pytest

from garrison.catalog.spec import ServerSpec
from garrison.gateway.stages.connect import says_modern_only
from garrison.gateway.upstreams import upstream as upstreams
from garrison.kernel.errors import Invalid, Limited, TimedOut, Unavailable, Unsupported
from protocol.peers import until, web
from running_fleet import StartFleet

pytestmark = pytest.mark.slow

App = Callable[[Any, Any, Any], Awaitable[None]]


class Wavering:
    """A modern server that answers `initialize` with this status; `asked` counts how often."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked = 0
        self._modern: App = modern_only.ModernHttp().app()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._modern(scope, receive, send)
            return
        first = await receive()
        if b'"initialize"' in first.get("body", b""):
            self.asked += 1
            head = {"type": "http.response.start", "status": self.status, "headers": [(b"content-length", b"0")]}
            await send(head)
            await send({"type": "http.response.body", "body": b""})
            return
        given = [first]

        async def again() -> Any:
            return given.pop() if given else await receive()

        await self._modern(scope, again, send)


@pytest.mark.parametrize(("status", "passes"), [(503, True), (500, True), (400, False), (404, False)])
async def test_a_passing_failure_is_no_verdict_and_is_served_over_the_bridge_meanwhile(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch, status: int, passes: bool
) -> None:
    monkeypatch.setattr(upstreams, "LEGACY_AGAIN_S", 0.3)
    server = Wavering(status)
    async with web(server) as url:
        running = await start_fleet(ServerSpec(name="one", transport="http", url=url))
        upstream = running.fleet.directory.get("one")
        async with running.client("/mcp", "legacy") as client:
            for _ in range(3):
                assert not (await client.call_tool("one__echo", {"text": "x"})).is_error
            assert (upstream.refuses_legacy, server.asked) == (True, 1)
            if passes:
                await until(lambda: not upstream.refuses_legacy, 20)
                async with asyncio.timeout(20):
                    while server.asked < 2:  # what was decided of calls alike may hold for half a second more
                        assert not (await client.call_tool("one__echo", {"text": "x"})).is_error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Invalid("server.refused", "method not found"), True),
        (Unsupported("server.unknown_version", "x"), True),
        (TimedOut("server.handshake_timeout", "x"), False),
        (TimedOut("server.lost", "x"), False),
        (Unavailable("server.unavailable", "x"), False),
        (Limited("server.limited", "x"), False),
    ],
)
def test_only_an_answer_is_a_verdict(error: Any, verdict: bool) -> None:
    assert says_modern_only(error) is verdict
