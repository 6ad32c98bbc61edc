"""Holes of published servers, tried on our built-in ones through the gateway, as a stock client reaches them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from garrison.catalog.spec import ServerSpec
from raw_http import HOST, JSON, PING, auth, exchange, length, post
from running_fleet import Running, StartFleet

pytestmark = pytest.mark.slow


def built_in(name: str, *arguments: str) -> ServerSpec:
    command = (sys.executable, "-P", "-m", "garrison.servers", name, *arguments)
    return ServerSpec(name=name, transport="stdio", command=command, session="shared")


async def text_of(client: Client, tool: str, **arguments: Any) -> tuple[bool, str]:
    """Whether it went well, and what was said."""
    try:
        result = await client.call_tool(tool, arguments)
    except MCPError as error:
        return False, str(error)
    return not result.is_error, str(result.content)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """What may be read, and its neighbour whose name begins alike."""
    inside, beside = tmp_path / "project", tmp_path / "project-secret"
    for folder in (inside, beside):
        folder.mkdir()
        (folder / "note.txt").write_text(f"in {folder.name}")
    return inside, beside


async def _files(start_fleet: StartFleet, inside: Path) -> Running:
    return await start_fleet(built_in("filesystem", "--root", str(inside), "--writable"))


async def test_cve_2025_53109_a_link_does_not_lead_out(start_fleet: StartFleet, folders: tuple[Path, Path]) -> None:
    """The reference file server followed symbolic links out of what it was allowed."""
    inside, beside = folders
    (inside / "link").symlink_to(beside)
    (inside / "file-link").symlink_to(beside / "note.txt")
    (inside / "chain").symlink_to(inside / "link")
    running = await _files(start_fleet, inside)
    async with running.client("/servers/filesystem/mcp") as client:
        assert (await text_of(client, "read_text_file", path=str(inside / "note.txt")))[0]
        for path in ("link/note.txt", "file-link", "chain/note.txt", "link"):
            for tool in ("read_text_file", "list_directory", "get_file_info"):
                well, said = await text_of(client, tool, path=str(inside / path))
                assert not well or tool == "get_file_info", (tool, path)  # what the link itself is may be told
                assert "in project-secret" not in said
            assert not (await text_of(client, "write_file", path=str(inside / path / "new"), content="x"))[0]
    assert [path.name for path in beside.glob("*")] == ["note.txt"]


async def test_cve_2025_53110_a_common_beginning_is_no_containment(
    start_fleet: StartFleet, folders: tuple[Path, Path]
) -> None:
    """It compared paths by their first letters, so that `project-secret` counted as inside of `project`."""
    inside, beside = folders
    running = await _files(start_fleet, inside)
    async with running.client("/servers/filesystem/mcp") as client:
        for path in (
            beside / "note.txt",
            Path(f"{inside}/../{beside.name}/note.txt"),
            Path(f"{inside}-secret/note.txt"),
        ):
            well, said = await text_of(client, "read_text_file", path=str(path))
            assert not well
            assert "in project-secret" not in said
            assert not (await text_of(client, "write_file", path=str(path), content="x"))[0]
    assert [path.stat().st_size for path in beside.glob("*")] == [len("in project-secret")]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    run = lambda *words: subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)  # noqa: E731
    run("init", "-q", "-b", "main")
    run("config", "user.name", "Ada")
    run("config", "user.email", "ada@example.org")
    (folder / "a.txt").write_text("one\n")
    run("add", ".")
    run("commit", "-q", "-m", "first")
    return folder


def named(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


def copied(repository: Path, to: Path) -> Path:
    subprocess.run(["git", "clone", "-q", str(repository), str(to)], check=True, capture_output=True)
    return to


async def _git(start_fleet: StartFleet, repository: Path) -> Running:
    return await start_fleet(built_in("git", "--root", str(repository), "--writable"))


async def test_cve_2025_68143_no_repository_is_made_elsewhere(
    start_fleet: StartFleet, repository: Path, tmp_path: Path
) -> None:
    """The reference git server's `git_init` made a repository of any folder. Ours has no such tool."""
    running = await _git(start_fleet, repository)
    async with running.client("/servers/git/mcp") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert names
    assert not {name for name in names if "init" in name or "clone" in name or "config" in name}


INJECTED = (
    "--output=/tmp/owned",
    "--ext-diff",
    "-O/tmp/x",
    "--no-index",
    "--upload-pack=touch x",
    "--exec=id",
    "-c",
    "--",
)


LITERAL = {
    ("git_commit", "message"),
    *(("git_log", name) for name in ("since", "until", "author", "message", "path")),
    ("git_diff", "path"),
    ("git_show", "path"),
}
"""Texts that may begin with a dash, because they are never words of their own in a command."""


async def test_cve_2025_68144_arguments_are_never_options(
    start_fleet: StartFleet, repository: Path, tmp_path: Path
) -> None:
    """Its `git_diff` and `git_checkout` took a revision that began with a dash for an option, and wrote files."""
    running = await _git(start_fleet, repository)
    owned = tmp_path / "owned"
    async with running.client("/servers/git/mcp") as client:
        for tool in (await client.list_tools()).tools:
            for name, schema in tool.input_schema["properties"].items():
                for word in (*INJECTED, f"--output={owned}"):
                    arguments = _filled(tool.input_schema, repository) | {name: _as(schema, word)}
                    well, said = await text_of(client, tool.name, **arguments)
                    assert not well or (tool.name, name) in LITERAL, (tool.name, name, word, said)
    assert named(tmp_path, "owned*") == []


async def test_cve_2025_68145_other_repositories_are_out_of_reach(
    start_fleet: StartFleet, repository: Path, tmp_path: Path
) -> None:
    """It looked only at its first call whether a repository is the one that it was given."""
    other = copied(repository, tmp_path / "other")
    running = await _git(start_fleet, repository)
    async with running.client("/servers/git/mcp") as client:
        assert (await text_of(client, "git_log", repository=str(repository)))[0]
        for path in (other, repository / ".." / "other", repository / ".git" / ".." / ".." / "other"):
            well, said = await text_of(client, "git_log", repository=str(path))
            assert not well, said


def _filled(schema: dict[str, Any], repository: Path) -> dict[str, Any]:
    """Something for everything that is required."""
    given: dict[str, Any] = {"repository": str(repository)}
    make: dict[str, Callable[[], Any]] = {"array": lambda: ["a.txt"], "integer": lambda: 1, "boolean": lambda: True}
    for name in schema.get("required", ()):
        kind = schema["properties"][name].get("type", "string")
        given.setdefault(name, make.get(kind, lambda: "a.txt")())
    return {name: value for name, value in given.items() if name in schema["properties"]}


def _as(schema: dict[str, Any], word: str) -> Any:
    return [word] if schema.get("type") == "array" else word


# ── paths in URLs ──

TRAVERSALS = (
    "..",
    "%2e%2e",
    "..%2f..",
    "%2e%2e%2f",
    "..;",
    "one%2f..%2f..%2fapi",
    "one/../..",
    "one\\..",
    "%00",
    ".%2e/",
)


async def test_cve_2026_32871_a_name_in_a_path_stays_a_name(start_fleet: StartFleet) -> None:
    """A bridge from OpenAPI put arguments into paths as they were, so that `../admin` reached other endpoints."""
    running = await start_fleet(built_in("time"))
    for name in TRAVERSALS:
        for path in (f"/servers/{name}/mcp", f"/profiles/{name}/mcp", f"/servers/time/{name}/mcp"):
            answer = await exchange(
                running, post(HOST + JSON + auth(running) + length(PING)).replace(b"/mcp", path.encode(), 1)
            )
            assert b'"error"' in answer or answer.startswith(b"HTTP/1.1 404"), (path, answer)
            assert b'"result"' not in answer, path
