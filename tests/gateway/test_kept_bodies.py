"""Bodies in the pipeline: kept where the settings say so, on the long way; nothing of it where they do not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from garrison.kernel.errors import Unavailable
from garrison.protection.bodies import BodyStore, Side, commitments
from garrison.surfaces.setting_groups.audit import AuditSettings
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring.auditing import body_store
from running_fleet import Running, StartFleet, start_fleet, stdio

__all__ = ["start_fleet"]
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


async def call(fleet: Running, tool: str, *each: dict[str, object], server: str = "one") -> list[Any]:
    """One call after the other over one connection."""
    headers = {
        "authorization": f"Bearer {fleet.admin_key}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    answers = []
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
        for arguments in each:
            params = {"name": tool, "arguments": arguments, "_meta": META}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            answers.append(await http.post(f"{fleet.url}/servers/{server}/mcp", json=body))
    return answers


def kept(fleet: Running) -> list[tuple[Side, str]]:
    store = body_store(fleet.fleet.home)
    found = [
        (side, store.read(commitment).content)
        for entry in fleet.records()
        for side, commitment in commitments(entry.detail)
    ]
    store.close()
    return found


async def test_both_bodies_of_every_call_are_kept_and_none_takes_the_fast_path(start_fleet: StartFleet) -> None:
    settings = Settings(audit=AuditSettings(bodies="both"))
    fleet = await start_fleet(stdio("one", "modern_only"), settings=settings)
    await call(fleet, "echo", *({"text": f"n{number}"} for number in range(6)))
    assert [text for side, text in kept(fleet) if side == "request"] == [f'{{"text":"n{n}"}}' for n in range(6)]
    answers = [text for side, text in kept(fleet) if side == "response"]
    assert all(f"n{number}" in text for number, text in enumerate(answers))
    assert len(answers) == 6
    await in_one_piece(fleet, 4)
    assert fleet.fleet.gateway._fast.taken == 0


async def test_other_servers_calls_are_not_kept_and_take_the_fast_path(start_fleet: StartFleet) -> None:
    settings = Settings(audit=AuditSettings(bodies="both", bodies_servers=("two",)))
    fleet = await start_fleet(stdio("one", "modern_only"), settings=settings)
    await in_one_piece(fleet, 6)
    assert fleet.fleet.gateway._fast.taken > 0
    assert kept(fleet) == []


async def in_one_piece(fleet: Running, count: int) -> None:
    """Calls whose heads and bodies arrive together."""
    params = {"name": "echo", "arguments": {"text": "x"}, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    host, port = fleet.url.removeprefix("http://").split(":")
    head = (
        f"POST /servers/one/mcp HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {fleet.admin_key}\r\n"
        "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: echo\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    for _ in range(count):
        writer.write((head + body).encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answer.split(b"content-length:")[1].split(b"\r\n")[0]))
    writer.close()


async def test_without_the_setting_there_is_no_database(start_fleet: StartFleet) -> None:
    fleet = await start_fleet(stdio("one", "modern_only"))
    await call(fleet, "echo", {"text": "x"})
    assert not fleet.fleet.home.bodies.exists()


async def test_a_large_answer_is_kept_to_its_bound_and_reaches_its_client_whole(start_fleet: StartFleet) -> None:
    settings = Settings(audit=AuditSettings(bodies="responses", body_bytes_max=1000))
    fleet = await start_fleet(stdio("one", "modern_only"), settings=settings)
    (answer,) = await call(fleet, "big", {"size_bytes": 300_000})
    assert len(answer.json()["result"]["content"][0]["text"]) == 300_000
    ((side, text),) = kept(fleet)
    assert (side, len(text)) == ("response", 1000)


async def test_a_call_whose_request_cannot_be_kept_is_not_made(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await start_fleet(stdio("one", "modern_only"), settings=Settings(audit=AuditSettings(bodies="both")))

    def full(self: BodyStore, whose: object, content: bytes) -> bytes:
        raise Unavailable("audit.bodies_unwritable", "Bodies of calls cannot be kept: the disk is full.")

    monkeypatch.setattr(BodyStore, "keep", full)
    (answer,) = await call(fleet, "echo", {"text": "x"})
    assert answer.json()["error"]["data"]["code"] == "audit.bodies_unwritable"
    assert [entry.kind for entry in fleet.records() if entry.action == "tools/call"] == ["refusal"]
