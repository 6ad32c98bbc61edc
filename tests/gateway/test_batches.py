"""Batches: only where the revision knows them; each element judged and recorded for itself."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.gateway.batches import ELEMENTS_MAX
from running_fleet import Running, StartFleet, stdio

pytestmark = pytest.mark.slow


async def session(running: Running, version: str = "2025-03-26", key: str = "") -> dict[str, str]:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": version}}
    authorization = f"Bearer {key or running.admin_key}"
    response = await running.post("/mcp", hello, authorization=authorization)
    assert response.json()["result"]["protocolVersion"] == version
    return {"mcp_session_id": response.headers["mcp-session-id"], "authorization": authorization}


async def post(running: Running, batch: Any, headers: dict[str, str]) -> httpx2.Response:
    return await running.post("/mcp", json.dumps(batch).encode(), **headers)


def request(number: int, method: str, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def tool(number: int, name: str, **arguments: object) -> dict[str, object]:
    return request(number, "tools/call", name=f"one__{name}", arguments=arguments)


async def test_each_element_is_answered_for_itself_in_one_array(start_fleet: StartFleet) -> None:
    reader = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), tools=("echo", "add")),))
    running = await start_fleet(stdio("one", "legacy_only"), roles=(reader,))
    headers = await session(running, key=running.key("reader"))
    batch = [
        tool(1, "echo", text="hello"),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        tool(2, "count"),
        {"jsonrpc": "2.0", "id": 3},
        tool(4, "add", a=1, b=2),
        [request(5, "ping")],
    ]
    response = await post(running, batch, headers)
    assert response.status_code == 200
    answers = {answer["id"]: answer for answer in response.json()}
    assert "hello" in str(answers[1]["result"])
    assert answers[2]["error"]["code"] == -32602, "each is authorised for itself"
    assert answers[4]["result"]["structuredContent"] == {"sum": 3}
    assert answers[None]["error"]["code"] == -32600
    assert len(response.json()) == 5
    targets = [entry.target for entry in running.records() if entry.kind == "call.intent"]
    assert sorted(targets) == ["add", "echo"]


async def test_a_batch_that_wants_no_answer_is_accepted(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    headers = await session(running)
    response = await post(running, [{"jsonrpc": "2.0", "method": "notifications/initialized"}] * 2, headers)
    assert (response.status_code, response.content) == (202, b"")


async def test_progress_turns_the_answer_into_a_stream(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "legacy_only"))
    headers = await session(running)
    slow = tool(1, "slow", steps=2, step_s=0.02)
    slow["params"]["_meta"] = {"progressToken": "mine"}  # type: ignore[index]
    response = await post(running, [slow, tool(2, "echo", text="quick")], headers)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    assert {event["id"] for event in events if "id" in event} == {1, 2}
    assert {event["params"]["progressToken"] for event in events if "method" in event} == {"mine"}


@pytest.mark.parametrize("version", ["2024-11-05", "2025-06-18", "2025-11-25"])
async def test_other_revisions_know_no_batches(start_fleet: StartFleet, version: str) -> None:
    running = await start_fleet()
    headers = await session(running, version)
    response = await post(running, [request(1, "ping")], headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, -32600)


async def test_what_is_no_batch_or_too_large_or_opens_a_session_is_refused_whole(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    headers = await session(running)
    for body in ([], [request(1, "ping")] * (ELEMENTS_MAX + 1), [request(1, "ping"), request(2, "initialize")]):
        response = await post(running, body, headers)
        assert (response.status_code, response.json()["error"]["code"]) == (400, -32600)
    assert (await running.post("/mcp", b"[1,", **headers)).json()["error"]["code"] == -32700
    stranger = {**headers, "authorization": "Bearer nobody"}
    assert (await post(running, [request(1, "ping")], stranger)).status_code == 401
    other = {**headers, "authorization": f"Bearer {running.key('admin')}"}
    assert (await post(running, [request(1, "ping")], other)).status_code == 404, "somebody else's session"
