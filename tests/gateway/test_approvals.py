"""Calls that somebody has to approve, through a real gateway, with stock clients of both eras."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from mcp import MCPError
from mcp_types import ElicitResult

from garrison.catalog.access import ArgumentSpec, WhenSpec
from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.identity.principals import Principal
from garrison.kernel.errors import Conflict, Denied
from garrison.protection.approval_table import Approval
from garrison.surfaces.setting_groups.approvals import ApprovalSettings
from garrison.surfaces.settings import Settings
from running_fleet import Running, StartFleet, stdio

CAREFUL = RoleSpec(
    name="careful",
    grants=(
        GrantSpec(tools=("*",)),
        GrantSpec(
            tools=("echo",), effect="approve", when=WhenSpec(arguments={"text": ArgumentSpec(like=("danger*",))})
        ),
    ),
)
BOSS = Principal("boss-1", "key", "boss", ("admin",))
ERAS = ("legacy", "2026-07-28")

pytestmark = pytest.mark.slow


def settings(wait_s: float = 20.0) -> Settings:
    return Settings(approvals=ApprovalSettings(wait_s=wait_s))


async def careful(start_fleet: StartFleet, wait_s: float = 20.0) -> Running:
    running: Running = await start_fleet(
        stdio("one", "legacy_only", session="shared"), roles=(CAREFUL,), settings=settings(wait_s)
    )
    return running


async def asked(running: Running, number: int = 1) -> Approval:
    async with asyncio.timeout(20):
        while True:
            found = [one for one in running.fleet.approvals.list() if one.state == "pending"]
            if len(found) >= number:
                return found[0]
            await asyncio.sleep(0.01)


def text(result: Any) -> str:
    found: str = result.content[0].text
    return found


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_waits_until_somebody_else_approves_it_and_is_made_once(start_fleet: StartFleet, era: str) -> None:
    running = await careful(start_fleet)
    async with running.client("/mcp", era, running.key("careful", name="ada")) as client:
        calling = asyncio.create_task(client.call_tool("one__echo", {"text": "danger"}))
        question = await asked(running)
        assert (question.name, question.tool, question.rule) == ("ada", "echo", "role careful, grant 2")
        assert running.fleet.approvals.arguments(question.id) == {"text": "danger"}
        with pytest.raises(Denied, match="own"):
            running.fleet.approvals.decide(question.id, "approve", Principal(question.principal, "key", "ada"))
        running.fleet.approvals.decide(question.id, "approve", BOSS, "go on")
        assert text(await calling) == "danger"
        assert running.fleet.approvals.get(question.id).state == "used"
        with pytest.raises(Conflict):
            running.fleet.approvals.decide(question.id, "deny", BOSS)
        again = asyncio.create_task(client.call_tool("one__echo", {"text": "danger"}))
        other = await asked(running)
        assert other.id != question.id, "a yes is for one call"
        running.fleet.approvals.decide(other.id, "deny", BOSS, "not twice")
        with pytest.raises(MCPError, match="not twice"):
            await again
    steps = [(one.action, one.principal) for one in running.records() if one.action.startswith("approval.")]
    ada = question.principal
    assert steps == [
        *(("approval.ask", ada), ("approval.approve", "boss-1"), ("approval.use", ada)),
        *(("approval.ask", ada), ("approval.deny", "boss-1")),
    ]
    assert not any("danger" in str(one) for one in running.records()), "no arguments in the ledger"


async def test_what_no_rule_marks_does_not_wait(start_fleet: StartFleet) -> None:
    running = await careful(start_fleet)
    async with running.client("/mcp", key=running.key("careful")) as client:
        assert text(await client.call_tool("one__echo", {"text": "harmless"})) == "harmless"
    assert running.fleet.approvals.list() == ()


async def test_other_arguments_are_another_call(start_fleet: StartFleet) -> None:
    running = await careful(start_fleet, wait_s=0.0)
    async with running.client("/mcp", "legacy", running.key("careful")) as client:
        with pytest.raises(MCPError, match="approve"):
            await client.call_tool("one__echo", {"text": "danger 1"})
        running.fleet.approvals.decide((await asked(running)).id, "approve", BOSS)
        with pytest.raises(MCPError, match="approve"):
            await client.call_tool("one__echo", {"text": "danger 2"})
        assert text(await client.call_tool("one__echo", {"text": "danger 1"})) == "danger 1"
        with pytest.raises(MCPError, match="approve"):
            await client.call_tool("one__echo", {"text": "danger 1"})


async def test_somebody_elses_yes_is_of_no_use(start_fleet: StartFleet) -> None:
    running = await careful(start_fleet, wait_s=0.0)
    async with (
        running.client("/mcp", "legacy", running.key("careful", name="ada")) as ada,
        running.client("/mcp", "legacy", running.key("careful", name="bob")) as bob,
    ):
        with pytest.raises(MCPError):
            await ada.call_tool("one__echo", {"text": "danger"})
        running.fleet.approvals.decide((await asked(running)).id, "approve", BOSS)
        with pytest.raises(MCPError):
            await bob.call_tool("one__echo", {"text": "danger"})
        assert text(await ada.call_tool("one__echo", {"text": "danger"})) == "danger"


async def test_a_modern_client_that_can_be_asked_is_told_at_once_and_its_retry_waits(start_fleet: StartFleet) -> None:
    running = await careful(start_fleet)
    told: list[str] = []

    async def confirm(context: Any, params: Any) -> ElicitResult:
        told.append(params.message)
        return ElicitResult(action="accept", content={})

    key = running.key("careful")
    async with running.client("/mcp", "2026-07-28", key, elicitation_callback=confirm) as client:
        calling = asyncio.create_task(client.call_tool("one__echo", {"text": "danger"}))
        question = await asked(running)
        async with asyncio.timeout(20):
            while not len(running.fleet.gateway.approving):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert question.id in told[0]
        running.fleet.approvals.decide(question.id, "approve", BOSS)
        assert text(await calling) == "danger"
    assert len(told) == 1


async def test_a_legacy_client_that_opens_urls_is_sent_to_a_page_that_tells_how_it_stands(
    start_fleet: StartFleet,
) -> None:
    running = await careful(start_fleet)
    caller = {"authorization": f"Bearer {running.key('careful')}"}
    hello = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "t", "version": "1"}}
    begin = {"method": "initialize", "params": {**hello, "capabilities": {"elicitation": {"url": {}}}}}
    session = (await running.post("/mcp", {"jsonrpc": "2.0", "id": 0, **begin}, **caller)).headers["mcp-session-id"]
    call = {"method": "tools/call", "params": {"name": "one__echo", "arguments": {"text": "danger"}}}

    async def called() -> dict[str, Any]:
        sent = {**caller, "mcp_session_id": session, "mcp_protocol_version": "2025-11-25"}
        answer = (await running.post("/mcp", {"jsonrpc": "2.0", "id": 1, **call}, **sent)).text
        found: dict[str, Any] = json.loads(answer[answer.index("{") :].strip())
        return found

    error = (await called())["error"]
    question = await asked(running)
    (told,) = error["data"]["elicitations"]
    assert (error["code"], told["mode"], told["elicitationId"]) == (-32042, "url", question.id)
    assert told["url"].startswith(running.url)
    async with httpx2.AsyncClient() as browser:
        page = await browser.get(told["url"])
        assert "pending" in page.text
        assert page.headers["cache-control"] == "no-store"
        assert not any(word in page.text for word in ("danger", "echo", "careful")), "its reader need not be known"
        running.fleet.approvals.decide(question.id, "approve", BOSS)
        assert "approved" in (await browser.get(told["url"])).text
        assert (await browser.get(f"{running.url}/approvals/{'0' * 12}")).status_code == 404
    assert (await called())["result"]["content"][0]["text"] == "danger"


async def test_a_client_that_went_away_leaves_its_question_and_finds_the_answer(start_fleet: StartFleet) -> None:
    running = await careful(start_fleet)
    key = running.key("careful")
    async with running.client("/mcp", "legacy", key) as client:
        calling = asyncio.create_task(client.call_tool("one__echo", {"text": "danger"}))
        question = await asked(running)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    async with asyncio.timeout(20):
        while len(running.fleet.gateway.approving):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.fleet.approvals.decide(question.id, "approve", BOSS)
    async with running.client("/mcp", "legacy", key) as client:
        assert text(await client.call_tool("one__echo", {"text": "danger"})) == "danger"


async def test_the_fast_path_takes_neither_what_is_approved_nor_what_depends_on_arguments(
    start_fleet: StartFleet,
) -> None:
    running = await careful(start_fleet, wait_s=0.0)
    async with running.client("/mcp", "legacy", running.key("careful")) as client:
        for _ in range(5):
            await client.call_tool("one__echo", {"text": "harmless"})
        assert running.fleet.gateway._fast.taken == 0
        with pytest.raises(MCPError, match="approve"):
            await client.call_tool("one__echo", {"text": "danger"})
