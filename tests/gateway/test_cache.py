"""The cache: what may be kept, for whom and for how long; and a fleet that uses it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.gateway.kept import ENTRY_SHARE, KeptAnswers, question
from garrison.protocol.messages import raw
from running_fleet import Running, StartFleet, stdio

principals = st.sampled_from(["ada", "alan", "grace"])
keys = st.integers(0, 5)
steps = st.lists(
    st.tuples(principals, keys, st.sampled_from(["public", "private", "", None]), st.integers(-5, 60_000)), max_size=80
)


def result(text: str, ttl_ms: object = 60_000, scope: str | None = "private", **more: object) -> bytes:
    content: dict[str, object] = {"text": text, "ttlMs": ttl_ms, **more}
    if scope is not None:
        content["cacheScope"] = scope
    return json.dumps(content).encode()


@given(steps)
def test_two_principals_never_see_each_others_private_answer(lives: list[tuple[str, int, str | None, int]]) -> None:
    kept, now_s = KeptAnswers(4, 100_000), 0.0
    for principal, key, scope, ttl_ms in lives:
        now_s += 0.5
        found = kept.find(principal, key, now_s)
        if found is not None:
            content = json.loads(found)
            assert content.get("cacheScope") == "public" or content["text"] == f"of {principal}"
            assert content["text"].startswith("of ")
        kept.keep(principal, key, result(f"of {principal}", ttl_ms, scope), now_s)
        assert len(kept) <= 4


@given(st.lists(st.integers(1, 2_000), max_size=60))
def test_neither_bytes_nor_entries_ever_exceed_their_bounds(sizes: list[int]) -> None:
    kept = KeptAnswers(10, 8_000)
    for number, size in enumerate(sizes):
        stored = kept.keep("ada", number, result("x" * size), 0.0)
        assert stored is ((kept.find("ada", number, 0.0)) is not None)
        assert len(kept) <= 10
        assert kept.size_bytes <= 8_000
        assert not stored or size * ENTRY_SHARE <= 8_000


def test_the_time_that_is_left_is_told_and_then_it_is_over() -> None:
    kept = KeptAnswers(10, 10_000)
    kept.keep("ada", "k", result("hello", 10_000), 100.0)
    found = kept.find("ada", "k", 104.0)
    assert found is not None
    assert json.loads(found) == {"text": "hello", "ttlMs": 6_000, "cacheScope": "private"}
    assert kept.find("ada", "k", 110.0) is None
    assert kept.size_bytes == 0


@pytest.mark.parametrize(
    "content",
    [
        result("x", 0),
        result("x", -1),
        result("x", True),
        result("x", "60000"),
        result("x", None),
        result("x", resultType="input_required"),
        b'{"text":"no ttl"}',
        b"[]",
        b"nonsense",
    ],
)
def test_what_its_server_does_not_allow_to_be_kept_is_not_kept(content: bytes) -> None:
    kept = KeptAnswers(10, 10_000)
    assert not kept.keep("ada", "k", content, 0.0)
    assert len(kept) == 0


def test_a_question_is_the_same_however_it_is_written_and_whoever_traces_it() -> None:
    capabilities = "io.modelcontextprotocol/clientCapabilities"
    one = {"uri": raw("memo://one"), "_meta": raw({"progressToken": 1, capabilities: {}, "traceparent": "00-a"})}
    two = {"_meta": raw({capabilities: {}, "progressToken": 2}), "uri": raw("memo://one")}
    assert question(one) == question(two)
    three = {**two, "_meta": raw({capabilities: {"extensions": {"ui": {}}}})}
    assert question(three) != question(two), "what a client can do may change what it is shown"
    assert question({**two, "cursor": raw("c")}) != question(two)


# in front of a real server, which counts


def hits(running: Running) -> int:
    cell = next(family for family in running.fleet.metrics.families() if family.name == "garrison_cache_lookups_total")
    return int(sum(each.value for values, each in cell if values == ("hit",)))  # type: ignore[union-attr]


async def ask(
    running: Running, method: str, key: str = "", path: str = "/servers/one/mcp", **params: str
) -> dict[str, object]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": method}
    if "uri" in params or "name" in params:
        headers["mcp_name"] = params.get("uri") or params["name"]
    response = await running.post(path, body, authorization=f"Bearer {key or running.admin_key}", **headers)
    found: dict[str, object] = response.json()
    return found


@pytest.mark.slow
async def test_lists_and_reads_are_asked_once_and_each_caller_sees_only_its_part(start_fleet: StartFleet) -> None:
    reader = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), tools=("echo",)),))
    running = await start_fleet(stdio("one", "modern_only"), roles=(reader,))
    first, second = [await ask(running, "tools/list") for _ in range(2)]
    assert hits(running) == 1
    assert first["result"]["tools"] == second["result"]["tools"]  # type: ignore[index]
    assert second["result"]["ttlMs"] <= 60_000  # type: ignore[index]
    seen = await ask(running, "tools/list", running.key("reader"))
    assert hits(running) == 2, "the server calls it public"
    assert [tool["name"] for tool in seen["result"]["tools"]] == ["echo"], "screen is above cache"  # type: ignore[index]
    for _ in range(2):
        await ask(running, "resources/read", uri="memo://one")
        await ask(running, "resources/read", path="/mcp", uri="memo://one")
    assert hits(running) == 4
    intents = [entry.action for entry in running.records() if entry.kind == "call.intent"]
    assert sorted(intents) == ["resources/read"] * 2 + ["tools/list"], "what was not asked has no intent"


@pytest.mark.slow
async def test_an_announced_change_outdates_what_was_kept(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only"))
    before = await ask(running, "tools/list")
    async with running.client("/servers/one/mcp") as client:
        await client.call_tool("grow", {})
    after = await ask(running, "tools/list")
    assert len(after["result"]["tools"]) == len(before["result"]["tools"]) + 1  # type: ignore[index, arg-type]
