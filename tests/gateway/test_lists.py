"""The aggregate's lists are encoded once for those who see the same; counted, not timed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import GrantSpec, RoleSpec, ServerSpec
from garrison.gateway.lists import PAGE_ITEMS, KeptLists, start_of
from garrison.kernel.errors import Invalid
from garrison.protocol.messages import raw
from garrison.surfaces.bench.echo import Answering, HttpEcho
from garrison.surfaces.wiring import fleet as wiring
from running_fleet import Running, StartFleet, stdio

TOOLS = "tools/list"


def entries(count: int, size: int = 1) -> list[Raw]:
    return [raw({"name": f"{number:06}", "description": "x" * size}) for number in range(count)]


def page(lists: KeptLists, items: list[Raw], start: int = 0, whose: str = "a", **more: Any) -> dict[str, Any]:
    asked = {"method": TOOLS, "era": "legacy", "sources": (1,), **more}
    found: dict[str, Any] = json.loads(lists.page(whose=whose, start=start, entries=lambda: items, **asked))
    return found


@given(st.integers(0, 3 * PAGE_ITEMS + 1))
def test_the_pages_give_every_entry_once_and_in_order_whatever_their_number(count: int) -> None:
    lists, items, seen, start = KeptLists(), entries(count), [], 0
    while True:
        found = page(lists, items, start)
        seen += [item["name"] for item in found["tools"]]
        if "nextCursor" not in found:
            break
        start = start_of({"cursor": raw(found["nextCursor"])})
    assert seen == [json.loads(bytes(item))["name"] for item in items]
    assert lists.encodings == 1


def test_all_pages_for_all_who_see_the_same_are_encoded_once_for_each_era() -> None:
    lists, items = KeptLists(), entries(PAGE_ITEMS + 1)
    for _ in range(5):
        page(lists, items)
        page(lists, items, PAGE_ITEMS)
        assert page(lists, items, era="modern")["resultType"] == "complete"
    assert lists.encodings == 2
    page(lists, items, whose="b")
    assert lists.encodings == 3


def test_when_a_source_changes_the_list_is_made_anew_and_nothing_old_is_kept() -> None:
    lists = KeptLists()
    page(lists, entries(10), whose="a")
    page(lists, entries(10), whose="b")
    page(lists, [], method="prompts/list")
    before = lists.size_bytes
    assert page(lists, entries(1), sources=(2,))["tools"] == [{"name": "000000", "description": "x"}]
    assert lists.size_bytes < before
    assert lists.encodings == 4
    page(lists, [], method="prompts/list")
    assert lists.encodings == 4


def test_the_room_is_bounded_and_the_least_recently_used_go_first() -> None:
    lists, items = KeptLists(size_bytes_max=10_000), entries(10, 150)
    for whose in ("a", "b", "c", "d", "a", "e", "a"):
        page(lists, items, whose=whose)
        assert lists.size_bytes <= 10_000
    assert lists.encodings == 5
    page(lists, items, whose="b")
    assert lists.encodings == 6


def test_a_list_too_large_to_keep_is_served_all_the_same() -> None:
    lists = KeptLists(size_bytes_max=1_000)
    assert len(page(lists, entries(100))["tools"]) == 100
    assert (lists.size_bytes, lists.encodings) == (0, 1)


@pytest.mark.parametrize("cursor", [b'"x"', b"7", b'"MQ=="', b'"LTEwMDA="', b'"\\ud800"', b"[]", b"null"])
def test_a_cursor_that_is_not_ours_is_refused(cursor: bytes) -> None:
    with pytest.raises(Invalid, match="cursor"):
        start_of({"cursor": Raw(cursor)})


def test_beyond_the_end_there_is_nothing() -> None:
    assert page(KeptLists(), entries(3), 5 * PAGE_ITEMS) == {"tools": []}


# the gateway's own


async def names(running: Running, key: str = "", method: str = TOOLS, member: str = "tools") -> list[str]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta}}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": method}
    sent = headers | ({"authorization": f"Bearer {key}"} if key else {})
    return [item["name"] for item in (await running.post("/mcp", asked, **sent)).json()["result"][member]]


def roles(**tools: str) -> tuple[RoleSpec, ...]:
    return tuple(
        RoleSpec(name=name, grants=(GrantSpec(servers=("*",), tools=(pattern,)),)) for name, pattern in tools.items()
    )


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    """The URL of a server with four tools."""
    server = await asyncio.get_running_loop().create_server(lambda: HttpEcho(Answering(4, "modern")), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    server.close()


async def test_principals_with_the_same_roles_share_a_list_and_others_never_see_it(
    echo: str, start_fleet: StartFleet
) -> None:
    running = await start_fleet(
        ServerSpec(name="a", transport="http", url=echo), roles=roles(all="*", some="tool*", none="nothing")
    )
    kept = running.fleet.gateway.lists
    all_of_them = ["a__echo", "a__large", "a__stream", "a__tool0"]
    for name, role in (("one", "all"), ("two", "all"), ("three", "all")):
        assert await names(running, running.key(role, name=name)) == all_of_them
    assert kept.encodings == 1
    some, none = running.key("some", name="four"), running.key("none", name="five")
    both = running.key("all", "some", name="six")
    for _ in range(2):
        assert await names(running, some) == all_of_them[3:]
        assert await names(running, none) == []
        assert await names(running, both) == all_of_them
    assert kept.encodings == 4


async def test_a_change_of_roles_or_servers_shows_at_once(echo: str, start_fleet: StartFleet) -> None:
    one, other = (ServerSpec(name=name, transport="http", url=echo) for name in ("a", "b"))
    before = roles(reader="tool*")
    running = await start_fleet(one, roles=before)
    key = running.key("reader")
    assert await names(running, key) == ["a__tool0"]
    after = roles(reader="*")
    for servers, granted, expected in (
        ([one], after, ["a__echo", "a__large", "a__stream", "a__tool0"]),
        ([one, other], before, ["a__tool0", "b__tool0"]),
        ([other], before, ["b__tool0"]),
        ([], before, []),
    ):
        snapshot = Snapshot({spec.name: spec for spec in servers}, {role.name: role for role in granted})
        await wiring.apply(running.fleet, snapshot)
        await running.fleet.supervisor.settled()
        await running.fleet.directory.settled()
        assert await names(running, key) == expected
        encoded = running.fleet.gateway.lists.encodings
        assert await names(running, key) == expected
        assert running.fleet.gateway.lists.encodings == encoded


@pytest.mark.slow
async def test_a_change_of_a_servers_list_shows_as_soon_as_it_is_announced(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only"), stdio("two", "modern_only"))
    heard = asyncio.Event()
    running.fleet.directory.on_changed(lambda server, notification: heard.set())
    before = await names(running)
    async with running.client() as client:
        await client.call_tool("one__grow", {})
        await asyncio.wait_for(heard.wait(), 20)
    after = await names(running)
    assert [name for name in after if name not in before] != []
    encoded = running.fleet.gateway.lists.encodings
    assert await names(running) == after
    assert running.fleet.gateway.lists.encodings == encoded
