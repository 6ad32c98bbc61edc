"""A repository is data from strangers: whatever its files say, nothing of theirs runs and nothing outside is read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError

from garrison.servers.registry import module_of, options_of

ALL_READS: list[tuple[str, dict[str, Any]]] = [
    ("git_status", {}),
    ("git_log", {}),
    ("git_diff", {}),
    ("git_diff", {"staged": True}),
    ("git_diff", {"base": "side", "target": "main"}),
    ("git_show", {}),
    ("git_show_file", {"path": "readme.txt"}),
    ("git_branches", {}),
    ("git_blame", {"path": "readme.txt"}),
    ("git_blame", {"path": "readme.txt", "revision": "HEAD"}),
]
ALL_WRITES: list[tuple[str, dict[str, Any]]] = [
    ("git_add", {"paths": ["readme.txt", "untracked.txt"]}),
    ("git_commit", {"message": "x"}),
    ("git_create_branch", {"name": "new"}),
    ("git_checkout", {"branch": "side"}),
]
EVERYTHING = ALL_READS + ALL_WRITES


@pytest.fixture
def git(caller: Callable[..., Any], repository: Path) -> Any:
    return writable(caller, repository)


def writable(caller: Callable[..., Any], *repositories: Path) -> Any:
    return caller(
        "git", repositories=[str(each) for each in repositories], writable=True, author_name="B", author_email="b@c.d"
    )


@pytest.fixture
def trap(tmp_path: Path) -> tuple[str, Path]:
    """(a program that leaves a mark when it runs, the mark)."""
    mark, program = tmp_path / "pwned", tmp_path / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    return str(program), mark


def springs(repository: Path, mark: Path) -> bool:
    """Whether the trap is a real one: an ordinary git runs into it."""
    subprocess.run(["git", "status", "--porcelain"], cwd=repository, capture_output=True, check=False)
    return mark.exists()


async def test_cve_2025_68143_no_tool_makes_a_repository(git: Any, tmp_path: Path) -> None:
    app = module_of("git").build(options_of("git", {"repositories": [str(tmp_path)], "writable": True}))
    assert not [each.name for each in app.definitions if "init" in each.name or "clone" in each.name]
    with pytest.raises(ExceptionGroup) as caught:
        await git("git_init", repository=str(tmp_path / "new"))
    assert caught.group_contains(MCPError, match="Unknown tool")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("injected", ["--output=pwned", "-o", "--help", "--no-index", "-", "--upload-pack=touch pwned"])
async def test_cve_2025_68144_options_are_not_smuggled_in_through_arguments(
    git: Any, repository: Path, injected: str
) -> None:
    as_revision: list[tuple[str, dict[str, Any]]] = [
        ("git_log", {"revision": injected}),
        ("git_diff", {"base": injected}),
        ("git_diff", {"base": "HEAD", "target": injected}),
        ("git_show", {"revision": injected}),
        ("git_show_file", {"path": "readme.txt", "revision": injected}),
        ("git_blame", {"path": "readme.txt", "revision": injected}),
        ("git_create_branch", {"name": "x", "start": injected}),
        ("git_create_branch", {"name": injected}),
        ("git_checkout", {"branch": injected}),
    ]
    for name, arguments in as_revision:
        assert (await git(name, **arguments)).code in ("git.revision", "git.branch_name"), (name, arguments)
    assert not any((repository / each).exists() for each in ("pwned", "touch pwned"))
    assert (repository / "readme.txt").read_text() == "one\n2\n3\n"


async def test_cve_2025_68144_a_file_that_is_named_like_an_option_is_a_file(git: Any, repository: Path) -> None:
    for name in ("--output=pwned", "-p", ":(top)x", "*"):
        (repository / name).write_text("x\n")
        assert (await git("git_add", paths=[name])).data["paths"] == [name]
        assert (await git("git_diff", staged=True, path=name)).data["files"][0]["path"] == name
        assert (await git("git_blame", path=name)).data["lines"][0]["text"] == "x"
    assert (await git("git_commit", message="x")).data["commit"]["subject"] == "x"
    assert (await git("git_log", path="--output=pwned")).data["commits"][0]["subject"] == "x"
    assert not (repository / "pwned").exists()


async def test_cve_2025_68144_text_filters_stay_text(git: Any, repository: Path) -> None:
    for field in ("author", "message", "since", "until"):
        assert (await git("git_log", **{field: "--output=pwned"})).code == ""
    assert not (repository / "pwned").exists()


async def test_cve_2025_68145_only_listed_repositories_are_opened(
    caller: Any, repository: Path, tmp_path: Path, git_in: Any
) -> None:
    for name in ("project-evil", "project/nested", "elsewhere"):
        (tmp_path / name).mkdir()
        git_in(tmp_path / name, "init", "-q")
    (repository / "link").symlink_to(tmp_path / "elsewhere")
    git = writable(caller, repository)
    for wanted in (
        str(tmp_path / "elsewhere"), str(tmp_path / "project-evil"), str(repository / "nested"), "../elsewhere",
        str(repository / "link"), str(repository / ".." / "elsewhere"), "/", "-C/", "nested", f"{repository}\n",
    ):  # fmt: skip
        for name, arguments in EVERYTHING:
            assert (await git(name, repository=wanted, **arguments)).code == "git.not_allowed", (wanted, name)
    assert (await git("git_status", repository="a\0b")).code == "path.nul"


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", ".git/config", ".GIT/config", "a\0b", "src/../.git/x"]
)
async def test_cve_2025_68145_paths_outside_the_repository_are_refused(git: Any, path: str) -> None:
    for name, arguments in (
        ("git_add", {"paths": [path]}), ("git_show_file", {"path": path}), ("git_blame", {"path": path}),
        ("git_diff", {"path": path}), ("git_log", {"path": path}), ("git_show", {"path": path}),
    ):  # fmt: skip
        assert (await git(name, **arguments)).code == "git.path", name


async def test_no_program_that_the_configuration_names_ever_runs(
    git: Any, repository: Path, git_in: Any, trap: tuple[str, Path]
) -> None:
    program, mark = trap
    (repository / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    for key in (
        "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass", "core.alternateRefsCommand",
        "diff.external", "diff.evil.command", "diff.evil.textconv", "filter.evil.clean", "filter.evil.smudge",
        "filter.evil.process", "merge.evil.driver", "gpg.program", "gpg.ssh.program", "credential.helper",
        "pager.log", "pager.diff", "interactive.diffFilter", "sequence.editor", "trailer.x.command", "alias.status",
    ):  # fmt: skip
        git_in(repository, "config", key, program)
    for key in ("filter.evil.required", "commit.gpgSign", "log.showSignature", "submodule.recurse", "gc.autoDetach"):
        git_in(repository, "config", key, "true")
    os.utime(repository / "readme.txt", (1, 1))
    for name, arguments in EVERYTHING:
        answer = await git(name, **arguments)
        assert answer.code in ("", "git.dirty"), (name, answer.text)
        assert not mark.exists(), name
    assert springs(repository, mark)


async def test_filters_hidden_in_an_included_file_do_not_run(
    git: Any, repository: Path, git_in: Any, trap: tuple[str, Path]
) -> None:
    program, mark = trap
    (repository / ".gitattributes").write_text('* filter="odd.na=me"\n* filter=odd.na=me\n')
    (repository / ".git" / "more").write_text(f'[filter "odd.na=me"]\nclean = {program}\nsmudge = {program}\n')
    git_in(repository, "config", "include.path", "more")
    os.utime(repository / "readme.txt", (1, 1))
    for name, arguments in EVERYTHING:
        await git(name, **arguments)
        assert not mark.exists(), name
    os.utime(repository / "readme.txt", (2, 2))
    assert springs(repository, mark)


async def test_hooks_do_not_run(git: Any, repository: Path, git_in: Any, trap: tuple[str, Path]) -> None:
    program, mark = trap
    for hook in ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit", "post-checkout", "post-index-change",
                 "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"):  # fmt: skip
        (repository / ".git" / "hooks" / hook).symlink_to(program)
    git_in(repository, "config", "core.hooksPath", str(repository / ".git" / "hooks"))
    for name, arguments in EVERYTHING:
        await git(name, **arguments)
        assert not mark.exists(), name


async def test_a_submodules_configuration_is_not_obeyed(
    git: Any, repository: Path, tmp_path: Path, git_in: Any, trap: tuple[str, Path]
) -> None:
    program, mark = trap
    (tmp_path / "library").mkdir()
    git_in(tmp_path / "library", "init", "-q")
    git_in(tmp_path / "library", "commit", "-q", "--allow-empty", "-m", "x")
    git_in(
        repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "library"), "lib"
    )
    git_in(repository / "lib", "config", "core.fsmonitor", program)
    (repository / "lib" / "dirt").write_text("")
    git_in(repository, "config", "diff.ignoreSubmodules", "none")
    git_in(repository, "config", "-f", ".gitmodules", "submodule.lib.ignore", "none")
    mark.unlink(missing_ok=True)
    for name, arguments in [*EVERYTHING, ("git_add", {"paths": ["."]})]:
        await git(name, **arguments)
        assert not mark.exists(), name
    assert springs(repository, mark)


async def test_the_work_tree_is_the_repository_whatever_its_settings_say(
    git: Any, repository: Path, tmp_path: Path, git_in: Any
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.txt").write_text("secret")
    git_in(repository, "config", "core.worktree", str(tmp_path / "elsewhere"))
    assert (await git("git_status")).data["untracked"] == ["untracked.txt"]
    assert (await git("git_add", paths=["secret.txt"])).code == "git.no_files"


async def test_a_repository_that_lives_elsewhere_is_refused(
    caller: Any, repository: Path, tmp_path: Path, git_in: Any
) -> None:
    plain, linked, bare = (tmp_path / name for name in ("plain", "linked", "common"))
    for folder in (plain, linked):
        folder.mkdir()
    (plain / ".git").write_text(f"gitdir: {repository}/.git\n")
    (linked / ".git").symlink_to(repository / ".git")
    git_in(tmp_path, "init", "-q", "common")
    (bare / ".git" / "commondir").write_text(f"{repository}/.git\n")
    for folder in (plain, linked, bare):
        assert (await writable(caller, folder)("git_log")).code == "git.elsewhere", folder
    both = writable(caller, plain, repository)
    assert (await both("git_log", repository="plain")).data["commits"][0]["subject"] == "Second"


async def test_borrowed_objects_are_refused(caller: Any, repository: Path, tmp_path: Path, git_in: Any) -> None:
    git_in(tmp_path, "clone", "-q", "--shared", str(repository), "borrower")
    assert (await writable(caller, tmp_path / "borrower")("git_log")).code == "git.elsewhere"
    assert (await writable(caller, tmp_path / "borrower", repository)("git_log", repository="borrower")).code == ""
    git_in(tmp_path, "init", "-q", "linker")
    (tmp_path / "linker" / ".git" / "objects").rename(tmp_path / "linker" / "old")
    (tmp_path / "linker" / ".git" / "objects").symlink_to(repository / ".git" / "objects")
    assert (await writable(caller, tmp_path / "linker")("git_status")).code == "git.elsewhere"


async def test_a_missing_object_is_not_fetched(
    caller: Any, repository: Path, tmp_path: Path, git_in: Any, trap: tuple[str, Path]
) -> None:
    program, mark = trap
    git_in(repository, "config", "extensions.partialClone", "origin")
    git_in(repository, "config", "core.repositoryFormatVersion", "1")
    git_in(repository, "config", "remote.origin.url", f"ext::{program}")
    git_in(repository, "config", "remote.origin.promisor", "true")
    git_in(repository, "config", "protocol.ext.allow", "always")
    blob = git_in(repository, "rev-parse", "HEAD:readme.txt").strip()
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    answer = await writable(caller, repository)("git_show_file", path="readme.txt")
    assert answer.result.is_error
    assert not mark.exists()


async def test_a_folder_replaced_by_a_link_gives_no_outside_content(git: Any, repository: Path, git_in: Any) -> None:
    (repository / "d").mkdir()
    (repository / "d" / "passwd").write_text("inside\n")
    git_in(repository, "add", "d")
    git_in(repository, "commit", "-q", "-m", "x")
    (repository / "d" / "passwd").unlink()
    (repository / "d").rmdir()
    (repository / "d").symlink_to("/etc")
    for name, arguments in (
        ("git_blame", {"path": "d/passwd"}), ("git_diff", {"path": "d/passwd"}), ("git_diff", {}), ("git_status", {}),
        ("git_add", {"paths": ["d/passwd"]}), ("git_add", {"paths": ["."]}), ("git_diff", {"staged": True}),
    ):  # fmt: skip
        answer = await git(name, **arguments)
        assert "root:" not in str(answer.result), name


async def test_a_link_in_the_work_tree_is_shown_as_a_link(git: Any, repository: Path) -> None:
    (repository / "leak").symlink_to("/etc/passwd")
    await git("git_add", paths=["leak"])
    assert "root:" not in (await git("git_diff", staged=True, path="leak")).text
    (repository / "out").symlink_to("/etc")
    assert (await git("git_add", paths=["out/passwd"])).result.is_error
