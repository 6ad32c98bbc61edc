from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def git(caller: Callable[..., Any], repository: Path) -> Any:
    return caller(
        "git", repositories=[str(repository)], writable=True, author_name="Bot", author_email="bot@example.org"
    )


async def test_files_are_staged_and_committed(git: Any, repository: Path, git_in: Any) -> None:
    (repository / "src" / "täst.py").unlink()
    staged = (await git("git_add", paths=["readme.txt", "untracked.txt", "src"])).data["paths"]
    assert sorted(staged) == ["readme.txt", "src/täst.py", "untracked.txt"]
    done = (await git("git_commit", message="--amend\n\nNot an option.")).data
    assert (done["branch"], done["commit"]["subject"], done["commit"]["author"]) == ("main", "--amend", "Bot")
    assert git_in(repository, "rev-list", "--count", "HEAD") == "3\n"
    assert (await git("git_status")).data["untracked"] == []
    assert (await git("git_commit", message="again")).code == "git.nothing_to_commit"


async def test_ignored_and_missing_files_are_not_staged(git: Any, repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "a.log").write_text("")
    assert (await git("git_add", paths=["a.log"])).code == "git.no_files"
    assert (await git("git_add", paths=["no-such-file"])).code == "git.no_files"
    assert (await git("git_add", paths=["."])).data["paths"].count("a.log") == 0


async def test_a_branch_is_made_and_switched_to(git: Any, repository: Path, git_in: Any) -> None:
    made = (await git("git_create_branch", name="feature/x", start="side")).data
    assert made["commit"] == git_in(repository, "rev-parse", "side").strip()
    assert (await git("git_create_branch", name="feature/x")).code == "git.exists"
    assert (await git("git_checkout", branch="feature/x")).code == "git.dirty"
    git_in(repository, "checkout", "-q", "readme.txt")
    assert (await git("git_checkout", branch="feature/x")).data["branch"] == "feature/x"
    assert (repository / "readme.txt").read_text() == "one\ntwo\nthree\n"
    assert (await git("git_status")).data["branch"] == "feature/x"
    assert (await git("git_checkout", branch="nowhere")).code == "git.unknown_revision"


async def test_without_an_identity_a_commit_says_how_to_give_one(
    caller: Any, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    git = caller("git", repositories=[str(repository)], writable=True)
    answer = await git("git_commit", message="x")
    assert (answer.code, "--author-name" in answer.text) == ("git.no_identity", True)
    (tmp_path / ".gitconfig").write_text("[user]\nname = Own\nemail = own@example.org\n")
    assert (await git("git_commit", message="x")).data["commit"]["author"] == "Own"


async def test_the_repositorys_own_identity_comes_first(git: Any, repository: Path, git_in: Any) -> None:
    git_in(repository, "config", "user.name", "Local")
    assert (await git("git_commit", message="x")).data["commit"]["author"] == "Local"


async def test_a_read_only_server_changes_nothing(caller: Any, repository: Path) -> None:
    git = caller("git", repositories=[str(repository)])
    for name in ("git_add", "git_commit", "git_create_branch", "git_checkout"):
        assert (await git(name)).code == "server.read_only"
