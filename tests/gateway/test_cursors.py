"""Cursors of the aggregate's lists: for one principal, one endpoint, one list; lists that change meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.gateway import lists
from garrison.gateway.cursors import Cursors
from garrison.kernel.errors import Invalid
from garrison.protocol.messages import decode_any, encode, raw
from running_fleet import StartFleet, stdio
from speaking import Speaker, speaking

HOLDER = ("p", "", "tools/list")


@given(st.lists(st.text(max_size=9), max_size=3), st.text(alphabet="abcMTA=", min_size=1, max_size=12))
def test_a_cursor_comes_back_as_it_was_for_its_holder_only(names: list[str], inner: str) -> None:
    cursors = Cursors(bytes(32))
    page = {"tools": [{"name": name, "nextCursor": "x"} for name in names]}
    assert cursors.sealed(encode(page), *HOLDER) == encode(page)
    found = decode_any(cursors.sealed(encode({**page, "nextCursor": inner}), *HOLDER))
    assert found["tools"] == page["tools"]
    sent = {"cursor": raw(found["nextCursor"])}
    assert decode_any(cursors.opened(sent, *HOLDER)["cursor"]) == inner
    for other in (("q", "", "tools/list"), ("p", "one", "tools/list"), ("p", "", "prompts/list")):
        with pytest.raises(Invalid):
            cursors.opened(sent, *other)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=30), lambda inner: st.lists(inner, max_size=2)))
def test_what_is_no_cursor_is_refused(junk: object) -> None:
    with pytest.raises(Invalid):
        Cursors(bytes(32)).opened({"cursor": raw(junk)}, *HOLDER)


async def pages(client: Speaker, **first: Any) -> list[str]:
    found: list[str] = []
    result = await client.result("tools/list", **first)
    while True:
        found += [tool["name"] for tool in result["tools"]]
        if "nextCursor" not in result:
            return found
        result = await client.result("tools/list", cursor=result["nextCursor"])


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_all_pages_are_the_whole_list_and_a_cursor_is_nobody_elses(
    start_fleet: StartFleet, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE_ITEMS", 5)
    running = await start_fleet(stdio("one", "legacy_only", session="shared"), stdio("two", "modern_only"))
    other = running.key("admin", name="other")
    async with speaking(running, era) as client, speaking(running, era, key=other) as stranger:
        names = await pages(client)
        assert len(names) == len(set(names)) > 20
        cursor = (await client.result("tools/list"))["nextCursor"]
        assert len((await client.result("tools/list", cursor=cursor))["tools"]) == 5
        assert (await stranger.ask("tools/list", cursor=cursor))["error"]["code"] == -32602
        assert (await client.ask("prompts/list", cursor=cursor))["error"]["code"] == -32602
        assert (await client.ask("tools/list", cursor="NQ=="))["error"]["code"] == -32602
        await client.call("one__grow")  # the list changes between two pages
        rest = await pages(client, cursor=cursor)
        assert set(names[5:]) <= set(rest)
