from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def git(caller: Callable[..., Any], repository: Path) -> Any:
    return caller("git", repositories=[str(repository)])


async def test_the_status_tells_what_is_staged_changed_and_new(git: Any, repository: Path) -> None:
    status = (await git("git_status")).data
    assert (status["branch"], status["ahead"], status["behind"], status["upstream"]) == ("main", 0, 0, None)
    assert status["staged"] == [{"path": "staged.txt", "state": "added", "was": None}]
    assert status["unstaged"] == [{"path": "readme.txt", "state": "modified", "was": None}]
    assert status["untracked"] == ["untracked.txt"]
    assert status["repository"] == str(repository)


async def test_renames_and_deletions_have_their_states(git: Any, repository: Path, git_in: Any) -> None:
    git_in(repository, "mv", "src/täst.py", "src/with space.py")
    (repository / "staged.txt").unlink()
    status = (await git("git_status")).data
    assert {"path": "src/with space.py", "state": "renamed", "was": "src/täst.py"} in status["staged"]
    assert {"path": "staged.txt", "state": "deleted", "was": None} in status["unstaged"]


async def test_the_log_is_paged_and_filtered(git: Any) -> None:
    first = (await git("git_log", limit=1)).data
    assert (first["commits"][0]["subject"], first["next_skip"]) == ("Second", 1)
    assert first["commits"][0]["refs"] == ["HEAD -> main"]
    rest = (await git("git_log", limit=1, skip=1)).data
    assert (rest["commits"][0]["subject"], rest["commits"][0]["body"]) == ("First", "With a body.")
    assert rest["next_skip"] is None

    async def subjects(**arguments: Any) -> list[str]:
        return [each["subject"] for each in (await git("git_log", **arguments)).data["commits"]]

    assert await subjects(revision="side") == ["First"]
    assert await subjects(path="src") == ["First"]
    assert await subjects(author="ada@example.org", message="body") == ["First"]
    assert await subjects(since="2027-01-01") == []
    assert await subjects(author="nobody") == []


async def test_differences_unstaged_staged_and_between_revisions(git: Any) -> None:
    unstaged = (await git("git_diff")).data
    assert unstaged["files"] == [{"path": "readme.txt", "added": 1, "deleted": 1}]
    assert "-three\n+3\n" in unstaged["diff"]
    assert (await git("git_diff", staged=True)).data["files"][0]["path"] == "staged.txt"
    between = await git("git_diff", base="side", target="main")
    assert "-two\n+2\n" in between.text
    assert (await git("git_diff", base="main", path="src")).text == "No differences."
    assert (await git("git_diff", target="main")).code == "git.diff"


async def test_a_large_diff_is_cut(git: Any, repository: Path) -> None:
    (repository / "readme.txt").write_text("x\n" * 10_000)
    answer = (await git("git_diff", bytes_max=1_000)).data
    assert (len(answer["diff"]), answer["truncated"]) == (1_000, True)
    assert answer["files"][0]["added"] == 10_000


async def test_a_commit_and_a_file_at_a_revision_are_shown(git: Any) -> None:
    shown = (await git("git_show", revision="HEAD~1")).data
    assert (shown["commit"]["author"], [each["path"] for each in shown["files"]]) == (
        "Ada",
        ["readme.txt", "src/täst.py"],
    )
    assert "+print('hello')" in shown["diff"]
    assert (await git("git_show_file", path="readme.txt", revision="side")).text == "one\ntwo\nthree\n"
    assert (await git("git_show_file", path="no.txt")).code == "git.failed"


async def test_branches_are_listed(git: Any) -> None:
    found = (await git("git_branches")).data["branches"]
    assert {(each["name"], each["current"]) for each in found} == {("main", True), ("side", False)}


async def test_blame_names_the_commit_of_each_line(git: Any) -> None:
    lines = (await git("git_blame", path="readme.txt", revision="HEAD")).data["lines"]
    assert [(each["line"], each["text"], each["summary"]) for each in lines] == [
        (1, "one", "First"), (2, "2", "Second"), (3, "three", "First"),
    ]  # fmt: skip
    working = (await git("git_blame", path="readme.txt", first_line=3, line_count=5)).data["lines"]
    assert [set(each["commit"]) for each in working] == [{"0"}]
    assert "has only 3 lines" in (await git("git_blame", path="readme.txt", first_line=9)).text


async def test_an_empty_repository_has_a_status_and_no_history(caller: Any, tmp_path: Path, git_in: Any) -> None:
    git_in(tmp_path, "init", "-q", "-b", "main")
    git = caller("git", repositories=[str(tmp_path)])
    assert (await git("git_status")).data["commit"] is None
    answer = await git("git_log")
    assert (answer.code, "no commit yet" in answer.text) == ("git.unknown_revision", True)
    assert (await git("git_diff", staged=True)).data["files"] == []


async def test_a_folder_that_is_no_repository_is_a_clear_error(caller: Any, tmp_path: Path) -> None:
    assert (await caller("git", repositories=[str(tmp_path)])("git_status")).code == "git.no_repository"


async def test_a_folder_inside_a_repository_does_not_open_the_whole(caller: Any, repository: Path) -> None:
    assert (await caller("git", repositories=[str(repository / "src")])("git_status")).code == "git.no_repository"


async def test_one_of_several_repositories_must_be_named(caller: Any, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    git = caller("git", repositories=[str(repository), str(tmp_path / "other")])
    assert (await git("git_status")).code == "git.which"
    assert (await git("git_status", repository="project")).data["branch"] == "main"
    assert (await git("git_status", repository=f"{repository}/")).data["branch"] == "main"


@pytest.mark.parametrize("here", ["", ".", "./", " "])
async def test_the_only_repository_needs_no_name(caller: Any, repository: Path, tmp_path: Path, here: str) -> None:
    assert (await caller("git", repositories=[str(repository)])("git_status", repository=here)).data["branch"] == "main"
    (tmp_path / "other").mkdir()
    answer = await caller("git", repositories=[str(repository), str(tmp_path / "other")])("git_status", repository=here)
    assert answer.code == "git.which"
    assert answer.text == f"There are several repositories.\nName one: {repository}, {tmp_path / 'other'}."


async def test_what_is_not_allowed_is_told_with_what_is(caller: Any, repository: Path, tmp_path: Path) -> None:
    answer = await caller("git", repositories=[str(repository)])("git_status", repository="..")
    assert answer.code == "git.not_allowed"
    assert answer.text == f"'..' is not an allowed repository.\nName the one allowed here: {repository}."
    (tmp_path / "copy" / "project").mkdir(parents=True)
    both = caller("git", repositories=[str(repository), str(tmp_path / "copy" / "project")])
    answer = await both("git_status", repository="project")
    assert (answer.code, answer.text.startswith("Several repositories are called 'project'.")) == ("git.which", True)


async def test_a_bare_repository_can_be_looked_into(caller: Any, repository: Path, tmp_path: Path, git_in: Any) -> None:
    git_in(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    git = caller("git", repositories=[str(tmp_path / "bare.git")])
    assert (await git("git_log")).data["commits"][0]["subject"] == "Second"
    assert (await git("git_status")).code == "git.bare"


async def test_a_machine_without_git_gets_a_clear_error(
    git: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = await git("git_status")
    assert (answer.code, "apt-get install git" in answer.text) == ("git.missing", True)
