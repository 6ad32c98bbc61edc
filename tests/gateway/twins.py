"""Two fleets that are alike, one of them without the fast path, and whether they have done the same."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garrison.catalog.spec import Filter, ProfileSpec, Selection, ServerSpec
from garrison.telemetry.metrics import HistogramCell
from gateway.wired import Answer, Wired
from remote_servers import remote
from running_fleet import Running, running_fleet, stdio

SERVERS = ("near_legacy", "near_modern", "far_legacy", "far_modern")
"""Behind pipes and over HTTP, of each era: `obedient.py`, which does what it is told."""


@dataclass
class Pair:
    fast: Running
    long: Running

    def taken(self) -> int:
        return self.fast.fleet.gateway._fast.taken


async def twins(stack: AsyncExitStack, roots: tuple[Path, Path], **spec: Any) -> Pair:
    """Each with servers of its own; `spec` is more for each server's."""
    fast, long = [await _fleet(stack, root, spec) for root in roots]
    long.fleet.gateway._fast.enabled = False
    return Pair(fast, long)


async def _fleet(stack: AsyncExitStack, root: Path, spec: dict[str, Any]) -> Running:
    urls = [await stack.enter_async_context(remote("obedient", *flags)) for flags in ((), ("--modern",))]
    servers = (
        stdio("near_legacy", "obedient", **spec),
        near_modern("near_modern", **spec),
        ServerSpec(name="far_legacy", transport="http", url=urls[0], **spec),
        ServerSpec(name="far_modern", transport="http", url=urls[1], **spec),
    )
    some = ProfileSpec(name="some", servers={name: Selection(tools=Filter(deny=("nobody",))) for name in SERVERS})
    return await stack.enter_async_context(running_fleet(root, servers, profiles=(some,)))


def near_modern(name: str, **more: Any) -> ServerSpec:
    spec = stdio(name, "obedient", **more)
    return ServerSpec(name=name, transport="stdio", command=(*spec.command, "--modern"), **more)


async def client(running: Running, era: str, path: str, server: str, *, able: bool) -> Wired:
    found = await Wired(running, era, path.format(server), able=able).open()
    found.prefix = "" if "/servers/" in path else f"{server}__"
    return found


async def clients(pair: Pair, era: str, path: str, server: str, *, able: bool = False) -> tuple[Wired, Wired]:
    """The same client of both."""
    fast = await client(pair.fast, era, path, server, able=able)
    return fast, await client(pair.long, era, path, server, able=able)


async def hang_up(both: tuple[Wired, Wired]) -> None:
    for one in both:
        await one.hang_up()


async def warm(pair: Pair, both: tuple[Wired, Wired], tool: str = "do") -> None:
    """Until a plain call takes the fast path; both fleets get the same calls."""
    for _ in range(20):
        before = pair.taken()
        answers = [await one.call(tool, what="good") for one in both]
        assert [answer.status for answer in answers] == [200, 200], answers
        if pair.taken() > before:
            return
    raise AssertionError("no call takes the fast path")


def shown(answer: Answer) -> Any:
    """What has to be the same: all but what is drawn by lot."""
    told = {name: value for name, value in answer.headers.items() if name not in ("date", "server", "content-length")}
    return answer.status, told, without_lots(answer.messages)


def without_lots(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "…" if key == "requestState" else without_lots(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_lots(each) for each in value]
    return re.sub(r"call \([^)]*\)|garrison-\d+", "…", value) if isinstance(value, str) else value


def recorded(running: Running) -> list[Any]:
    found = []
    for entry in running.records():
        if entry.kind != "change":  # servers do not start in one order
            who = entry.principal.partition("-")[0]
            detail = without_lots(dict(entry.detail or {}))
            found.append((entry.kind, who, entry.action, entry.server, entry.target, entry.outcome, detail))
    return found


def measured(running: Running) -> dict[Any, float]:
    found = {}
    for family in running.fleet.metrics.families():
        if not re.match("mcp_(server|client)_operation|garrison_(retries|shed|breaker|calls)", family.name):
            continue
        for labels, cell in family:
            found[family.name, labels] = float(sum(cell.counts)) if isinstance(cell, HistogramCell) else cell.value
    return found


def in_flight(running: Running) -> dict[str, int]:
    gateway, directory = running.fleet.gateway, running.fleet.directory
    return {
        "shed": gateway.shed.in_flight,
        "accounts": sum(account.in_flight for account in gateway._fast._stages.limit._accounts.values()),
        "waiting": len(gateway.in_flight),
        "servers": sum(one.in_flight for one in directory.upstreams.values()),
        "seats": sum(
            member.in_flight
            for one in directory.upstreams.values()
            if one.pool
            for member in one.pool._members.values()
        ),
        "fast": gateway._fast._under_way,
        "questions": len(gateway.back_channel),
    }


async def settled(running: Running) -> None:
    """No call is counted any more."""
    async with asyncio.timeout(20):
        while any(in_flight(running).values()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def the_same(pair: Pair, *, in_order: bool = True) -> None:
    """What is left behind."""
    for running in (pair.fast, pair.long):
        await settled(running)
    fast, long = recorded(pair.fast), recorded(pair.long)
    if not in_order:
        fast, long = sorted(fast, key=repr), sorted(long, key=repr)
    for number, (one, other) in enumerate(zip(fast, long, strict=False)):
        assert one == other, f"entry {number}"
    assert len(fast) == len(long)
    assert measured(pair.fast) == measured(pair.long)
    assert pair.long.fleet.gateway._fast.taken == 0
