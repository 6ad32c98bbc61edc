"""Servers under test: built for real and called by the SDK's own client."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mcp_types as types
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from garrison.servers.registry import module_of, options_of
from garrison.servers.toolkit.app import CODE_META_KEY, App


@dataclass(frozen=True)
class Answer:
    """A tool's result, shorter to ask."""

    result: types.CallToolResult

    @property
    def data(self) -> dict[str, Any]:
        assert not self.result.is_error, self.text
        assert self.result.structured_content is not None
        return self.result.structured_content

    @property
    def text(self) -> str:
        first = self.result.content[0]
        assert isinstance(first, types.TextContent)
        return first.text

    @property
    def code(self) -> str:
        """The stable code of an error; empty for a success."""
        return str((self.result.meta or {}).get(CODE_META_KEY, "")) if self.result.is_error else ""


class Caller:
    """Calls the tools of one app through an in-process client, a new one for each call."""

    def __init__(self, app: App, mode: Literal["legacy", "auto"] = "auto") -> None:
        self._app = app
        self._mode = mode

    async def __call__(self, tool: str, /, **arguments: Any) -> Answer:
        async with Client(self._app.server(), mode=self._mode) as client:
            return Answer(await client.call_tool(tool, arguments))


def built(name: str, **options: Any) -> App:
    return module_of(name).build(options_of(name, options))


@pytest.fixture
def caller() -> Callable[..., Caller]:
    """`caller("filesystem", roots=[…])` → something that calls its tools."""
    return lambda name, **options: Caller(built(name, **options))


@pytest.fixture
def calling() -> type[Caller]:
    """`calling(app)` → something that calls the tools of an app that the test has built itself."""
    return Caller


@pytest.fixture
def command() -> Callable[..., StdioServerParameters]:
    """How to start a built-in server as a process of its own."""

    def parameters(*arguments: str) -> StdioServerParameters:
        source = str(Path(__file__).parents[2] / "src")
        return StdioServerParameters(
            command=sys.executable, args=["-m", "garrison.servers", *arguments], env={"PYTHONPATH": source}
        )

    return parameters


def run_git(folder: Path, *arguments: str) -> str:
    """Git for setting up and checking, independent of this machine's settings."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
        "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def git_in() -> Callable[..., str]:
    return run_git


@pytest.fixture
def repository(tmp_path: Path, repository_template: Path) -> Path:
    """Two commits on main, a branch `side`, one staged, one changed and one untracked file."""
    return Path(shutil.copytree(repository_template, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="session")
def repository_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    run_git(folder, "init", "-q", "-b", "main")
    (folder / "readme.txt").write_text("one\ntwo\nthree\n")
    (folder / "src").mkdir()
    (folder / "src" / "täst.py").write_text("print('hello')\n")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-q", "-m", "First\n\nWith a body.")
    (folder / "readme.txt").write_text("one\n2\nthree\n")
    run_git(folder, "commit", "-q", "-am", "Second")
    run_git(folder, "branch", "side", "HEAD~1")
    (folder / "staged.txt").write_text("staged\n")
    run_git(folder, "add", "staged.txt")
    (folder / "readme.txt").write_text("one\n2\n3\n")
    (folder / "untracked.txt").write_text("new\n")
    return folder


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return until
