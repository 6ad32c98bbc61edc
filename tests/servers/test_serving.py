"""The servers as their users run them: processes of their own, over stdio and HTTP, in both protocol eras."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters

from garrison.kernel.errors import Denied, Invalid, NotFound, Unavailable
from garrison.servers.command import address, run
from garrison.servers.registry import module_of, options_of, serve

Command = Callable[..., StdioServerParameters]
SOURCE = str(Path(__file__).parents[2] / "src")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_filesystem_server_works_over_stdio(
    command: Command, mode: Literal["legacy", "auto"], tmp_path: Path
) -> None:
    parameters = command("filesystem", "--root", str(tmp_path), "--writable")
    async with Client(parameters, mode=mode) as client:
        assert modern(client) == (mode == "auto")
        assert len((await client.list_tools()).tools) == 13
        await succeeds(client, "create_directory", path="a")
        await succeeds(client, "write_file", path="a/b.txt", content="one\n")
        await succeeds(client, "edit_file", path="a/b.txt", edits=[{"old": "one", "new": "two"}])
        assert (await succeeds(client, "read_text_file", path="a/b.txt"))["text"] == "two\n"
        assert (await succeeds(client, "read_binary_file", path="a/b.txt"))["base64"] == "dHdvCg=="
        assert (await succeeds(client, "search_text", pattern="two"))["hits"][0]["path"] == "a/b.txt"
        assert (await succeeds(client, "search_files", pattern="*.txt"))["hits"][0]["path"] == "a/b.txt"
        await succeeds(client, "move_file", source="a/b.txt", destination="c.txt")
        for name in ("list_directory", "directory_tree", "list_allowed_directories"):
            await succeeds(client, name)
        await succeeds(client, "get_file_info", path="c.txt")
        await succeeds(client, "delete", path="a")
    assert names_in(tmp_path) == ["c.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_git_server_works_over_stdio(
    command: Command, mode: Literal["legacy", "auto"], repository: Path
) -> None:
    parameters = command(
        "git", "--root", str(repository), "--writable", "--author-name", "B", "--author-email", "b@c.d"
    )
    async with Client(parameters, mode=mode) as client:
        assert len((await client.list_tools()).tools) == 11
        await succeeds(client, "git_add", paths=["."])
        await succeeds(client, "git_commit", message="Third")
        await succeeds(client, "git_create_branch", name="new")
        await succeeds(client, "git_checkout", branch="new")
        for name in ("git_status", "git_diff", "git_show", "git_branches"):
            await succeeds(client, name)
        for name in ("git_blame", "git_show_file"):
            await succeeds(client, name, path="readme.txt")
        assert (await succeeds(client, "git_log"))["commits"][0]["subject"] == "Third"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_time_server_works_over_stdio(command: Command, mode: Literal["legacy", "auto"]) -> None:
    async with Client(command("time", "--zone", "Europe/Berlin"), mode=mode) as client:
        assert (await succeeds(client, "get_current_time"))["zone"] == "Europe/Berlin"
        await succeeds(client, "convert_time", time="12:00", target_zone="UTC")
        await succeeds(client, "time_difference", start="10:00", end="12:00")
        await succeeds(client, "list_time_zones")


@pytest.mark.slow
async def test_the_filesystem_server_works_over_http_in_both_eras(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("over http")
    with process("filesystem", "--root", str(tmp_path), "--http", "127.0.0.1:0") as server:
        port = await asyncio.to_thread(told_port, server)
        assert await asyncio.to_thread(status_for_host, port, "evil.example") == 421
        for mode in ("legacy", "auto"):
            async with Client(f"http://127.0.0.1:{port}/mcp", mode=mode) as client:
                assert modern(client) == (mode == "auto")
                assert (await succeeds(client, "read_text_file", path="a.txt"))["text"] == "over http"
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) in (0, -signal.SIGTERM)


@pytest.mark.slow
async def test_a_killed_server_leaves_no_process_behind(command: Command, tmp_path: Path, eventually: Any) -> None:
    (tmp_path / "evil").write_text("a" * 60 + "!\n")
    before = {each.pid for each in psutil.Process().children()}
    with suppress(MCPError, ExceptionGroup):
        async with Client(command("filesystem", "--root", str(tmp_path)), mode="legacy") as client:
            (server,) = (each for each in psutil.Process().children() if each.pid not in before)
            arguments = {"pattern": "(a+)+$", "regex": True, "timeout_s": 60}
            search = asyncio.create_task(client.call_tool("search_text", arguments))
            await eventually(server.children)
            searchers = server.children()
            server.kill()
            await search
    await eventually(lambda: not any(each.is_running() and each.status() != "zombie" for each in searchers))


def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Unavailable, match="in use"):
        serve("time", options_of("time", {}), transport="http", port=taken.getsockname()[1])


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why_and_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "garrison.servers", "filesystem", "--root", "/no/such/folder"],
        env={"PYTHONPATH": SOURCE}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "/no/such/folder is not a folder.\nCreate it, or name another root.\n"


def test_an_unknown_server_names_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        module_of("filesytem")
    assert caught.value.hint == "Did you mean filesystem?"


def test_wrong_options_are_refused() -> None:
    for values in ({}, {"roots": []}, {"roots": ["/"], "wriable": True}):
        with pytest.raises(Invalid):
            options_of("filesystem", values)


def test_only_loopback_addresses_are_listened_on() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.1"):
        with pytest.raises(Denied):
            serve("time", options_of("time", {}), transport="http", host=host)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), (":80", ("127.0.0.1", 80)), ("[::1]:8", ("::1", 8))],
)
def test_addresses_are_read(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected


@pytest.mark.parametrize("text", ["", "80", "x:y", "x:99999", "127.0.0.1"])
def test_wrong_addresses_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        address(text)


def test_the_help_documents_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["git", "--help"])
    printed = capsys.readouterr().out
    for text in ("--root", "An allowed repository.", "--writable", "--author-email", "--http HOST:PORT"):
        assert text in printed


async def succeeds(client: Client, tool: str, /, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


def modern(client: Client) -> bool:
    return client.protocol_version >= "2026"


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def told_port(server: subprocess.Popen[bytes]) -> int:
    """From the line `filesystem listens at http://127.0.0.1:PORT/mcp`."""
    assert server.stderr is not None
    line = server.stderr.readline().decode()
    assert "listens at" in line
    return int(line.rpartition(":")[2].removesuffix("/mcp\n"))


def status_for_host(port: int, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/mcp", body=b"{}", headers={"Host": host, "Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "garrison.servers", *arguments]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": SOURCE}, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()
