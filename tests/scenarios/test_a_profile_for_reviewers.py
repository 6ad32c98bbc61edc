"""A team gives its reviewers a smaller fleet: an endpoint of their own, with names that say what they mean."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from command_line import Shell
from running_fleet import SERVERS

pytestmark = pytest.mark.slow

PROGRAM = f"[{sys.executable}, {SERVERS / 'legacy_only.py'}]"
BEFORE = f"""
servers:
  notes:
    command: {PROGRAM}
    prefix: n
    tools: {{deny: [crash], rename: {{echo: read}}, describe: {{echo: Read it aloud}}}}
  work: {{command: {PROGRAM}, prefix: "", tools: {{allow: [add, count]}}}}
  more: {{command: {PROGRAM}, prefix: "", tools: {{allow: [add]}}}}
profiles:
  review:
    description: For reading, not for changing
    servers:
      notes: {{tools: {{allow: [echo]}}}}
      work: {{}}
"""


@asynccontextmanager
async def client_at(url: str, key: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def tools_of(client: Client) -> list[str]:
    return [tool.name for tool in (await client.list_tools()).tools]


async def test_reviewers_get_what_was_chosen_for_them_and_a_change_comes_without_a_restart(garrison: Shell) -> None:
    file = garrison.folder / "garrison.yaml"
    file.write_text(BEFORE)
    checked = garrison("check", "--output", "json", code=0).json
    assert checked["profiles"] == ["review"]
    assert "shown.shared_prefix" in [one["code"] for one in checked["problems"]]
    up = garrison("up", "--listen", "127.0.0.1:0", "--output", "json", code=0).json
    profile = {"name": "review", "path": "/profiles/review/mcp", "description": "For reading, not for changing"}
    assert up["profiles"] == [{**profile, "servers": ["notes", "work"], "tools": 3}]
    said = {(one["path"], one["name"], one["server"], one["shown"]) for one in up["conflicts"] if one["kind"] == "tool"}
    assert said == {("/mcp", "add", "work", "work__add"), ("/mcp", "add", "more", "more__add")}
    key = (garrison.home / "admin.key").read_text().strip()
    async with client_at(f"{up['url']}/profiles/review/mcp", key) as client:
        assert await tools_of(client) == ["n__read", "add", "count"], "in the profile nothing is in conflict"
        assert "aloud" in str((await client.call_tool("n__read", {"text": "aloud"})).content)
        assert "For reading, not for changing" in (client.instructions or "")
        file.write_text(BEFORE.replace("allow: [echo]", "allow: [echo, count]"))
        again = garrison("up", "--output", "json", code=0)
        assert "nothing has changed" not in again.err
        assert await tools_of(client) == ["n__read", "n__count", "add", "count"]
    assert [row["pid"] for row in again.json["servers"]] == [row["pid"] for row in up["servers"]]
    told = garrison("status").out
    assert "/profiles/review/mcp  (4 tools of notes, work)" in told
    assert "tool add of server work cannot be shown as add, it is shown as work__add" in told
    garrison("down", code=0)
