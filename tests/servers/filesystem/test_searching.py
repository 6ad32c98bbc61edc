from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mcp import Client

from garrison.servers.filesystem.searcher import glob_pattern
from garrison.servers.registry import module_of, options_of

HOSTILE = "(a+)+$"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("src/a.py", "src/deep/b.py", "src/deep/c.txt", ".git/config.py", "-x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\nneedle here\n\nNEEDLE (there)\n")
    (tmp_path / "binary.py").write_bytes(b"needle\0")
    (tmp_path / "out.py").symlink_to("/etc/passwd")
    return tmp_path


@pytest.fixture
def files(caller: Callable[..., Any], tree: Path) -> Any:
    return caller("filesystem", roots=[str(tree)])


async def names(files: Any, **arguments: Any) -> list[str]:
    return [hit["path"] for hit in (await files("search_files", **arguments)).data["hits"]]


async def test_names_are_found_by_globs(files: Any) -> None:
    assert await names(files, pattern="*.py") == ["-x.py", "binary.py", "out.py", "src/a.py", "src/deep/b.py"]
    assert await names(files, pattern="src/*.py") == ["src/a.py"]
    assert await names(files, pattern="src/**/*.py") == ["src/a.py", "src/deep/b.py"]
    assert await names(files, pattern="**/deep/**") == ["src/deep/b.py", "src/deep/c.txt"]
    assert await names(files, pattern="[!a].txt", path="src") == ["deep/c.txt"]
    assert await names(files, pattern="*.py", exclude=["src", "binary.*"]) == ["-x.py", ".git/config.py", "out.py"]


async def test_hits_come_in_pages(files: Any) -> None:
    first = (await files("search_files", pattern="*.py", limit=2)).data
    assert (len(first["hits"]), first["stopped"]) == (2, "limit")
    rest = (await files("search_files", pattern="*.py", limit=3, skip=2)).data
    assert ([hit["path"] for hit in rest["hits"]], rest["stopped"]) == (
        ["out.py", "src/a.py", "src/deep/b.py"],
        "complete",
    )


async def test_text_is_found_literally_unless_asked_otherwise(files: Any) -> None:
    answer = await files("search_text", pattern="(there)", include=["*.py"])
    assert answer.text.splitlines()[0] == "-x.py:4:8: NEEDLE (there)"
    assert len(answer.data["hits"]) == 3
    assert (await files("search_text", pattern=r"ne{2}dle\s\w+")).data["hits"] == []
    found = (await files("search_text", pattern=r"ne{2}dle\s\w+", regex=True)).data["hits"]
    assert [hit["path"] for hit in found] == ["-x.py", "src/a.py", "src/deep/b.py", "src/deep/c.txt"]


async def test_case_context_and_globs_are_obeyed(files: Any) -> None:
    hits = (await files("search_text", pattern="needle", ignore_case=True, include=["a.py"], context=1)).data["hits"]
    assert hits[0] == {
        "path": "src/a.py", "line": 2, "column": 1, "text": "needle here", "before": ["# src/a.py"], "after": [""],
    }  # fmt: skip
    assert (hits[1]["line"], hits[1]["before"], hits[1]["after"]) == (4, [""], [])


async def test_links_and_binary_files_are_not_read(files: Any) -> None:
    assert (await files("search_text", pattern="root:")).data["hits"] == []
    assert (await files("search_text", pattern="needle", include=["binary.py"])).data["hits"] == []


async def test_long_lines_are_shown_around_the_match(files: Any, tree: Path) -> None:
    (tree / "long").write_text("x" * 10_000 + "FOUND" + "y" * 10_000)
    hit = (await files("search_text", pattern="FOUND")).data["hits"][0]
    assert "FOUND" in hit["text"]
    assert len(hit["text"]) == 400


async def test_a_wrong_pattern_is_a_clear_error(files: Any) -> None:
    answer = await files("search_text", pattern="(", regex=True)
    assert answer.code == "search.pattern"
    assert "unterminated" in answer.text


async def test_a_hostile_pattern_is_ended_by_the_deadline_and_its_process_with_it(files: Any, tree: Path) -> None:
    (tree / "evil").write_text("needle\n" + "a" * 60 + "!\n")
    started = time.monotonic()
    answer = await files("search_text", pattern=f"needle|{HOSTILE}", regex=True, include=["evil"], timeout_s=0.5)
    assert answer.data["stopped"] == "time"
    assert [hit["text"] for hit in answer.data["hits"]] == ["needle"]
    assert time.monotonic() - started < 20
    assert not searchers()


async def test_a_cancelled_search_is_really_over(tree: Path, eventually: Callable[..., Any]) -> None:
    (tree / "evil").write_text("a" * 60 + "!\n")
    app = module_of("filesystem").build(options_of("filesystem", {"roots": [str(tree)]}))
    async with Client(app.server(), mode="legacy") as client:
        with anyio.move_on_after(0.7):
            await client.call_tool("search_text", {"pattern": HOSTILE, "regex": True, "timeout_s": 60})
        await eventually(lambda: not searchers())
        assert (await client.call_tool("search_files", {"pattern": "evil"})).structured_content


async def test_progress_is_reported_while_searching(tmp_path: Path) -> None:
    for number in range(3_000):
        (tmp_path / f"{number}").touch()
    app = module_of("filesystem").build(options_of("filesystem", {"roots": [str(tmp_path)]}))
    reported: list[float] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        reported.append(done)

    async with Client(app.server(), mode="legacy") as client:
        await client.call_tool("search_files", {"pattern": "nothing"}, progress_callback=on_progress)
    assert reported


def searchers() -> list[str]:
    """Search processes that are children of this one."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [pid for each in children for pid in each.read_text().split()]
    return [pid for pid in pids if "searcher.py" in Path(f"/proc/{pid}/cmdline").read_text()]


@example("[!]", "[!]")
@example("[^]", "")
@given(st.text(alphabet="abc/*?[]!^\\.", max_size=20), st.text(alphabet="abc/.", max_size=20))
def test_every_glob_without_a_range_is_a_pattern(glob: str, path: str) -> None:
    glob_pattern(glob).match(path)


@given(st.lists(st.sampled_from(["a", "b.py", "dir"]), min_size=1, max_size=5))
def test_a_path_matches_itself_and_its_last_name_as_a_glob(names: list[str]) -> None:
    path = "/".join(names)
    assert glob_pattern(names[-1]).match(path)
    assert glob_pattern(f"/{path}").match(path)
    assert glob_pattern(f"**/{path}").match(path)
