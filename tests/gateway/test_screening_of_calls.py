"""Screening on the way of real calls: both ways, both eras, errors, large results, arguments, the record of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import msgspec
import pytest
from mcp import MCPError

from garrison.catalog.screening import Screening, ScreeningRule
from garrison.catalog.sections import Sections
from garrison.surfaces.wiring.fleet import apply
from gateway.test_large_results import around, serving
from gateway.wired import META
from running_fleet import Running, StartFleet, snapshot_of, stdio
from secret_samples import made

pytestmark = pytest.mark.slow
INFO = {"name": "c", "version": "1"}
TOKEN = made("ghp_<a36>")


def text(result: Any) -> str:
    found: str = result.content[0].text
    return found


def outcomes(running: Running) -> list[Any]:
    return [one for one in running.records() if one.kind == "call.outcome" and one.action == "tools/call"]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_secrets_and_hidden_text_never_reach_the_client_in_any_era(start_fleet: StartFleet, era: str) -> None:
    running = await start_fleet(stdio("one", f"{era}_only", session="shared"))
    async with running.client("/mcp", "legacy" if era == "legacy" else "auto") as client:
        for _ in range(3):
            found = text(await client.call_tool("one__echo", {"text": f"\x1b[31mx\x1b[0m\u200b {TOKEN}"}))
            assert TOKEN not in found
            assert "\x1b" not in found
            assert "[masked:github-token]" in found
    last = outcomes(running)[-1]
    assert "result/content/0/text" in str(last.detail)
    assert TOKEN not in str([one.detail for one in running.records()])


async def test_block_withholds_the_result_and_a_changed_section_counts_at_once(start_fleet: StartFleet) -> None:
    spec = stdio("one", "legacy_only", session="shared")
    running = await start_fleet(spec)
    async with running.client("/mcp", "legacy") as client:
        assert "[masked" in text(await client.call_tool("one__echo", {"text": TOKEN}))
        for action, wanted in (("block", "screen.blocked"), ("warn", TOKEN), ("off", TOKEN)):
            section = Screening(rules=(ScreeningRule(servers=("on*",), tools=("ec*",), secrets=action),))  # type: ignore[arg-type]
            await apply(running.fleet, snapshot_of((spec,), sections=Sections(screening=section)))
            found = await client.call_tool("one__echo", {"text": TOKEN})
            assert wanted in text(found)
            assert bool(found.is_error) == (action == "block")


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_structured_output_is_masked_as_its_text_is_and_withheld_where_it_would_break_its_schema(
    start_fleet: StartFleet, era: str
) -> None:
    spec = stdio("one", "obedient", session="shared")
    command = (*spec.command, *(("--modern",) if era == "modern" else ()))
    spec = msgspec.structs.replace(spec, command=command)
    running = await start_fleet(spec)
    async with running.client("/mcp", "legacy" if era == "legacy" else "auto") as client:

        async def told(what: str, given: str) -> Any:
            found = await client.call_tool("one__tell", {"what": what, "any": given})
            assert given not in found.model_dump_json() or given == "harmless"
            return found

        for given, shown in (("harmless", "harmless"), (TOKEN, "[masked:github-token]")):
            found = await told("free", given)
            assert not found.is_error
            assert (text(found), found.structured_content) == (f"free: {shown}", {"n": 1, "free": shown})
        assert (await told("strict", "harmless")).structured_content == {"n": 1, "strict": "harmless"}
        broken = await told("strict", "x\u200by")  # hidden text is taken away, and what is left fits
        assert broken.structured_content == {"n": 1, "strict": "xy"}
        found = await told("strict", TOKEN)
        assert found.is_error
        assert "screen.blocked" in text(found)
        assert "outputSchema" in text(found)
        section = Screening(rules=(ScreeningRule(servers=("one",), tools=("tell",), secrets="block"),))
        await apply(running.fleet, snapshot_of((spec,), sections=Sections(screening=section)))
        found = await told("free", TOKEN)
        assert found.is_error
        assert "screen.blocked" in text(found)
        assert found.structured_content is None


async def test_arguments_are_screened_where_somebody_wants_it(start_fleet: StartFleet) -> None:
    spec = stdio("one", "legacy_only", session="shared")
    running = await start_fleet(spec, sections=Sections(screening=Screening(secrets="off", inputs="mask")))
    async with running.client("/mcp", "legacy") as client:
        for _ in range(3):
            assert "[masked:github-token]" in text(await client.call_tool("one__echo", {"text": TOKEN}))
        blocking = Sections(screening=Screening(secrets="off", inputs="block"))
        await apply(running.fleet, snapshot_of((spec,), sections=blocking))
        with pytest.raises(MCPError, match="must not leave"):
            await client.call_tool("one__echo", {"text": TOKEN})


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_large_results_are_screened_while_they_pass(start_fleet: StartFleet, era: str) -> None:
    filling = "all is well " * 20_000

    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        said = json.dumps(f"{filling}{TOKEN} {filling}")[1:-1].encode()
        begin, end = around(own, id_first=True)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            % (len(begin + said + end))
        )
        for part in (begin, said[: len(said) // 2 + 20], said[len(said) // 2 + 20 :], end):
            writer.write(part)
            await writer.drain()
        return True

    mode = "legacy" if era == "legacy" else "auto"
    async with serving(start_fleet, era, write) as (running, _), running.client("/mcp", mode) as client:
        found = text(await client.call_tool("one__large", {}))
        assert TOKEN not in found
        assert "[masked:github-token]" in found
        assert found.startswith(filling)
        assert "screen.secrets.github-token" in str(outcomes(running)[-1].detail)


async def test_calls_on_the_fast_path_are_screened_as_well(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only", session="shared"))
    meta = {META + "protocolVersion": "2026-07-28", META + "clientInfo": INFO, META + "clientCapabilities": {}}
    headers = {
        "authorization": f"Bearer {running.admin_key}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "one__echo",
    }
    fast = running.fleet.gateway._fast
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http, asyncio.timeout(60):

        async def echo(words: str) -> str:
            params = {"name": "one__echo", "arguments": {"text": words}, "_meta": meta}
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            return (await http.post(running.url + "/mcp", json=message)).text

        while fast.taken < 2:
            await echo("plain")
        for _ in range(50):
            taken = fast.taken
            assert TOKEN not in await echo(TOKEN)
            if fast.taken > taken:
                break
            await echo("plain")
        assert fast.taken > taken
    assert "screen.secrets.github-token" in str(outcomes(running)[-1].detail)
