"""Keys and tokens at the command line and at a real fleet with two workers."""

from __future__ import annotations

import json
import sys

import httpx2
import pytest

from authorisation_server import authorisation_server, robot_token
from command_line import Shell
from running_fleet import SERVERS

pytestmark = pytest.mark.slow

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
CALLS = 8


def configuration(issuer: str) -> str:
    command = json.dumps([sys.executable, str(SERVERS / "obedient.py")])
    return f"""
servers:
  demo: {{command: {command}}}
roles:
  reader: {{grants: [{{servers: [demo], tools: [do]}}]}}
  writer: {{grants: [{{servers: [demo], tools: ["*"]}}]}}
groups:
  builders: {{claims: [engineers], roles: [writer]}}
issuers:
  tests:
    issuer: {issuer}
    audiences: [https://nobody.example]
    roles_by_scope: {{"mcp:read": [reader]}}
"""


def call(url: str, key: str, tool: str) -> httpx2.Response:
    """On a connection of its own, so that any worker may get it."""
    params = {"name": tool, "arguments": {"what": "answer"}, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "authorization": f"Bearer {key}",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    return httpx2.post(f"{url}/servers/demo/mcp", json=body, headers=headers, timeout=20)


async def test_whoever_asks_is_known_at_every_worker_and_whoami_says_why(garrison: Shell) -> None:
    with authorisation_server() as issuer:
        (garrison.folder / "garrison.yaml").write_text(configuration(issuer))
        garrison("up", "--workers", "2", "--set", "edge.listen=127.0.0.1:0", code=0)
        url = json.loads((garrison.home / "run" / "node.json").read_text())["url"]
        token = await robot_token(issuer, f"{url}/servers/demo/mcp", "mcp:read")
        answers = [call(url, token, "do") for _ in range(CALLS)]
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        assert {call(url, token[:-2] + "AA", "do").status_code for _ in range(CALLS)} == {401}
        where = f"{url}/.well-known/oauth-protected-resource/servers/demo/mcp"
        assert {httpx2.get(where).json()["resource"] for _ in range(CALLS)} == {f"{url}/servers/demo/mcp"}
        of_all = await robot_token(issuer, url, "mcp:read")

    who = garrison("whoami", "--key-file", "-", "--output", "json", stdin=of_all + "\n", code=0).json
    assert (who["kind"], who["name"], who["issuer"]) == ("token", "Ada Lovelace", issuer)
    assert sorted(who["roles"]) == ["reader", "writer"]
    assert "role reader: scope mcp:read of issuer tests" in who["why"]
    assert "role writer: of the groups builders" in who["why"]
    assert of_all.rpartition(".")[2] not in json.dumps(who)

    garrison(
        "keys", "create", "ci", "--group", "platform", "--role", "reader", "--scope", "demo", "--to", "ci.key", code=0
    )
    shown = garrison("whoami", "--key-file", "ci.key", code=0).out
    for part in ("ci-", "reader", "platform", "bounded to demo: key ci"):
        assert part in shown
    assert "not known" in garrison("whoami", "--key-file", "-", stdin="gsn_nonsense", code=5).err
    listed = garrison("keys", "list", "--output", "json", code=0).json[-1]
    assert (listed["groups"], listed["scopes"], listed["state"]) == (["platform"], ["demo"], "live")
    everything = b"".join(file.read_bytes() for file in garrison.home.rglob("*") if file.is_file())
    assert token.encode() not in everything
    assert token.rpartition(".")[2].encode() not in everything
