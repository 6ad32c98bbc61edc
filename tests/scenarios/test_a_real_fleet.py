"""Other people's servers from npm and PyPI beside built-in ones, behind one endpoint with one key."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from command_line import Shell

pytestmark = pytest.mark.slow

NPM = Path(__file__).parents[1] / "npm" / "node_modules" / ".bin"
WHEELS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The report of `garrison up` on a client's file as people have it."""
    if not NPM.is_dir():
        pytest.fail("the npm servers are not installed: run ./test.sh once, or npm ci in tests/npm")
    folder = tmp_path_factory.mktemp("project")
    (folder / "hello.txt").write_text("hello")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    servers = {
        "everything": {"command": str(NPM / "mcp-server-everything")},
        "npm-files": {"command": str(NPM / "mcp-server-filesystem"), "args": [str(folder)]},
        "memory": {"command": str(NPM / "mcp-server-memory"), "env": {"MEMORY_FILE_PATH": str(folder / "memory.json")}},
        "wheel-git": {"command": str(WHEELS / "mcp-server-git"), "args": ["--repository", str(folder)]},
        "wheel-time": {"command": str(WHEELS / "mcp-server-time"), "args": ["--local-timezone", "UTC"]},
        "files": {"command": sys.executable, "args": ["-P", "-m", "garrison.servers", "filesystem", "--root", "."]},
    }
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    shell = Shell(folder)
    report = shell("up", "--listen", "127.0.0.1:0", "--verify", "--output", "json", timeout_s=300)
    assert report.code == 0, report.err
    key = Path(report.json["key_file"]).read_text()
    yield {**report.json, "folder": str(folder), "key": key}
    assert shell("audit", "verify").code == 0
    shell("down", code=0)


@asynccontextmanager
async def client(fleet: dict[str, Any], path: str, mode: Any) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {fleet['key']}"}, timeout=30) as http,
        Client(streamable_http_client(fleet["url"] + path, http_client=http), mode=mode) as connected,
    ):
        yield connected


CALLS = {
    "everything__echo": ({"message": "over the wall"}, "over the wall"),
    "npm-files__list_directory": ({"path": "{folder}"}, "hello.txt"),
    "memory__read_graph": ({}, "entities"),
    "wheel-git__git_status": ({"repo_path": "{folder}"}, "hello.txt"),
    "wheel-time__get_current_time": ({"timezone": "UTC"}, "UTC"),
    "files__read_text_file": ({"path": "hello.txt"}, "hello"),
}


def test_all_of_them_run_and_answered_a_call(fleet: dict[str, Any]) -> None:
    assert {row["name"]: (row["state"], row["verified"]["ok"]) for row in fleet["servers"]} == dict.fromkeys(
        ("everything", "npm-files", "memory", "wheel-git", "wheel-time", "files"), ("running", True)
    )
    assert all(row["tools"] == row["verified"]["tools"] for row in fleet["servers"])


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_one_client_lists_and_calls_them_all(fleet: dict[str, Any], mode: str) -> None:
    async with client(fleet, "/mcp", mode) as connected:
        listed = {tool.name for tool in (await connected.list_tools()).tools}
        assert set(CALLS) <= listed
        assert len(listed) == sum(row["tools"] for row in fleet["servers"])
        for name, (arguments, expected) in CALLS.items():
            filled = {key: value.format(folder=fleet["folder"]) for key, value in arguments.items()}
            result = await connected.call_tool(name, filled)
            assert not result.is_error, f"{name}: {result.content}"
            assert expected in str(result.content), name


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_each_server_has_an_endpoint_of_its_own_with_its_own_names(fleet: dict[str, Any], mode: str) -> None:
    async with client(fleet, "/servers/wheel-time/mcp", mode) as connected:
        assert "get_current_time" in {tool.name for tool in (await connected.list_tools()).tools}
        assert not (await connected.call_tool("get_current_time", {"timezone": "UTC"})).is_error


def test_without_the_key_nothing_happens(fleet: dict[str, Any]) -> None:
    for path in ("/mcp", "/servers/files/mcp", "/servers/nobody/mcp", "/api/v1/status", "/metrics"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic Zm9vOmJhcg=="}):
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            method = "GET" if path in ("/api/v1/status", "/metrics") else "POST"
            answer = httpx2.request(method, fleet["url"] + path, json=body, headers=headers)
            assert answer.status_code == 401, path
            assert "www-authenticate" in answer.headers
