"""Two tenants on one gateway: whatever they do at once, with the same ids, no byte of one comes to the other."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from running_fleet import Running, running_fleet, stdio
from security.ways import ALL, WAYS, Caller, Way, on

pytestmark = pytest.mark.slow

WHAT = ("echo", "unknown", "wrong", "cancelled")
TENANTS = ("ada", "alan")


class Tenant:
    """All that one tenant sends bears its name, and all bytes that come back to it are kept."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.got: list[bytes] = []

    def mark(self, number: int) -> str:
        return f"<{self.name}:{number}>"

    async def do(self, caller: Caller, what: str, number: int) -> None:
        mark, prefix = self.mark(number), caller.way.prefix
        name = f"{prefix}echo" if what != "unknown" else f"{prefix}{mark}"
        arguments: dict[str, Any] = {"text": mark} if what != "wrong" else {"text": {"inner": mark}}
        body = caller.body("tools/call", {"name": name, "arguments": arguments})
        text = json.dumps([body] if caller.way.transport == "batch" else body)
        try:
            wait_s = 0.002 if what == "cancelled" else 20
            answer = await asyncio.wait_for(caller.raw(text.encode(), caller.headers(body)), wait_s)
        except (TimeoutError, httpx2.HTTPError):
            assert what == "cancelled", (caller.way, what)
            return
        self.got.append(answer.content)
        if what == "echo":
            assert mark.encode() in answer.content, caller.way


async def _together(running: Running, keys: dict[str, str], way: Way, plan: list[tuple[str, str]]) -> None:
    """Both tenants carry out their parts of the plan at once, each in its order, with ids from 1 on."""
    tenants = {name: Tenant(name) for name in TENANTS}

    async def carry_out(name: str) -> None:
        mine = [what for who, what in plan if who == name]
        if way.transport == "older":  # its answers come on a stream, where giving up leaves one behind
            mine = [what for what in mine if what != "cancelled"]
        async with on(way, running, keys[name]) as caller:
            for number, what in enumerate(mine):
                await tenants[name].do(caller, what, number)

    await asyncio.gather(*map(carry_out, TENANTS))
    for name, other in (TENANTS, TENANTS[::-1]):
        everything = b"".join(tenants[name].got)
        assert f"<{other}:".encode() not in everything, way


PLANS = st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from(WHAT)), min_size=4, max_size=24)


def test_no_byte_crosses_whatever_two_tenants_do_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    root = tmp_path_factory.mktemp("tenants")
    one = stdio("one", "everything", session="shared")
    running = loop.run_until_complete(stack.enter_async_context(running_fleet(root, (one,), profiles=(ALL,))))
    keys = {name: running.key("admin", name=name) for name in TENANTS}

    @given(st.sampled_from(WAYS), PLANS)
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def cross(way: Way, plan: list[tuple[str, str]]) -> None:
        loop.run_until_complete(_together(running, keys, way, plan))

    async def many(seed: int) -> None:
        chance = random.Random(seed)
        plan = [(chance.choice(TENANTS), "echo") for _ in range(60)]
        await asyncio.gather(*(_together(running, keys, way, plan) for way in WAYS))

    try:
        cross()
        loop.run_until_complete(many(7))
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()
