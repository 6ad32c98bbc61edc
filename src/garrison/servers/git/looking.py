"""The git tools that only look."""

from __future__ import annotations

import os
from typing import Annotated, Final

import msgspec
from anyio import to_thread
from msgspec import Meta

from garrison.kernel.errors import Invalid
from garrison.servers.git import parsing
from garrison.servers.git.parsing import BlamedLine, Branch, Commit, FileCount, Status
from garrison.servers.git.program import Git
from garrison.servers.git.repositories import FileName, Repositories, RepositoryName, inside
from garrison.servers.toolkit.call import Call
from garrison.servers.toolkit.paths import Roots, opened_file

Revision = Annotated[str, Meta(description="A branch, tag or commit id, like main, v1.2 or HEAD~3.", max_length=256)]
PathFilter = Annotated[str, Meta(description="Only this file or folder; empty: all.", max_length=4096)]
BytesMax = Annotated[int, Meta(ge=1_000, le=1_000_000, description="How many bytes of it at most.")]

BLAME_BYTES_MAX: Final = 8 * 1024 * 1024
_DIFF = ("--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty", "--submodule=short")


class Log(msgspec.Struct, frozen=True, kw_only=True):
    commits: list[Commit]
    next_skip: int | None
    """Give this as `skip` to go on; null at the end."""


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    files: list[FileCount]
    diff: str
    """Unified diff."""
    truncated: bool

    def as_texts(self) -> list[str]:
        return [self.diff or "No differences.", *(["The diff was cut: narrow it to a path."] if self.truncated else [])]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    commit: Commit
    files: list[FileCount]
    diff: str
    truncated: bool


class ShownFile(msgspec.Struct, frozen=True, kw_only=True):
    commit: str
    path: str
    text: str
    truncated: bool

    def as_texts(self) -> list[str]:
        return [self.text, *(["The file was cut."] if self.truncated else [])]


class Branches(msgspec.Struct, frozen=True, kw_only=True):
    branches: list[Branch]
    truncated: bool


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    lines: list[BlamedLine]


class Looking:
    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    async def git_status(self, repository: RepositoryName = "") -> Status:
        """The branch, and which files are staged, changed, untracked or in conflict."""
        git = await self._repositories.git(repository)
        found = await git.finished(
            "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--ignore-submodules=dirty"
        )
        return parsing.status(found.output.decode(errors="replace"), git.folder, truncated=found.truncated)

    async def git_log(
        self,
        call: Call,
        repository: RepositoryName = "",
        revision: Revision = "HEAD",
        path: PathFilter = "",
        limit: Annotated[int, Meta(ge=1, le=200, description="How many commits at most.")] = 20,
        skip: Annotated[int, Meta(ge=0, description="Leave out this many: how to get the next page.")] = 0,
        since: Annotated[str, Meta(description="Only commits after this date.", max_length=64)] = "",
        until: Annotated[str, Meta(description="Only commits before this date.", max_length=64)] = "",
        author: Annotated[str, Meta(description="Text in the author's name or address.", max_length=200)] = "",
        message: Annotated[str, Meta(description="Text in the message.", max_length=200)] = "",
    ) -> Log:
        """Commits that lead to a revision, newest first."""
        git = await self._repositories.git(repository)
        wanted = {"since": since, "until": until, "author": author, "grep": message}
        filters = [f"--{name}={_plain(value)}" for name, value in wanted.items() if value]
        commit = await git.commit_id(revision)
        await call.progress(1, 2, "reading the history")
        output = await git.text(
            "log", "-z", f"--format={parsing.LOG_FORMAT}", "--no-show-signature", "--no-notes", "--no-mailmap",
            "--fixed-strings", f"--max-count={limit + 1}", f"--skip={skip}", *filters, commit, "--", *_only(path),
        )  # fmt: skip
        found = parsing.commits(output)
        return Log(commits=found[:limit], next_skip=skip + limit if len(found) > limit else None)

    async def git_diff(
        self,
        repository: RepositoryName = "",
        staged: Annotated[bool, Meta(description="What is staged, instead of what is not.")] = False,
        base: Annotated[Revision, Meta(description="Compare this revision…")] = "",
        target: Annotated[Revision, Meta(description="…with this one; empty: with the working files.")] = "",
        path: PathFilter = "",
        context: Annotated[int, Meta(ge=0, le=100, description="Lines around each change.")] = 3,
        bytes_max: BytesMax = 200_000,
    ) -> Diff:
        """Differences: unstaged (the default), staged, or between two revisions."""
        if target and not base:
            raise Invalid("git.diff", "A target without a base.", "Give base as well.")
        git = await self._repositories.git(repository)
        revisions = [await git.commit_id(each) for each in (base, target) if each]
        sides = (*(("--cached",) if staged else ()), *revisions, "--", *_only(path))
        return await _diff(git, ("diff",), sides, context, bytes_max)

    async def git_show(
        self,
        repository: RepositoryName = "",
        revision: Revision = "HEAD",
        path: PathFilter = "",
        context: Annotated[int, Meta(ge=0, le=100, description="Lines around each change.")] = 3,
        bytes_max: BytesMax = 200_000,
    ) -> Shown:
        """One commit: who, when, why and what it changed (against its first parent)."""
        git = await self._repositories.git(repository)
        commit = await git.commit_id(revision)
        told = await git.text("log", "-z", "-1", f"--format={parsing.LOG_FORMAT}", "--no-mailmap", commit, "--")
        diff = await _diff(
            git, ("show", "--format=", "--diff-merges=first-parent"), (commit, "--", *_only(path)), context, bytes_max
        )
        return Shown(commit=parsing.commits(told)[0], files=diff.files, diff=diff.diff, truncated=diff.truncated)

    async def git_show_file(
        self,
        path: FileName,
        repository: RepositoryName = "",
        revision: Revision = "HEAD",
        bytes_max: BytesMax = 200_000,
    ) -> ShownFile:
        """A text file as it was at a revision."""
        git = await self._repositories.git(repository)
        commit = await git.commit_id(revision)
        found = await git.finished("cat-file", "blob", f"{commit}:{inside(path)}", bytes_max=bytes_max)
        if b"\0" in found.output[:8_000]:
            raise Invalid("file.binary", f"{path[:200]!r} is not a text file.", "git_log tells who changed it.")
        return ShownFile(
            commit=commit, path=path, text=found.output.decode(errors="replace"), truncated=found.truncated
        )

    async def git_branches(
        self,
        repository: RepositoryName = "",
        remote: Annotated[bool, Meta(description="Remote-tracking branches as well.")] = False,
        limit: Annotated[int, Meta(ge=1, le=1_000, description="How many at most.")] = 100,
    ) -> Branches:
        """Branches, the most recently changed first."""
        git = await self._repositories.git(repository)
        output = await git.text(
            "for-each-ref", "--sort=-committerdate", f"--count={limit + 1}", f"--format={parsing.BRANCH_FORMAT}",
            "refs/heads", *(["refs/remotes"] if remote else []),
        )  # fmt: skip
        found = parsing.branches(output)
        return Branches(branches=found[:limit], truncated=len(found) > limit)

    async def git_blame(
        self,
        path: FileName,
        repository: RepositoryName = "",
        revision: Annotated[Revision, Meta(description="At this revision; empty: the working file.")] = "",
        first_line: Annotated[int, Meta(ge=1, description="First line, from 1.")] = 1,
        line_count: Annotated[int, Meta(ge=1, le=1_000, description="How many lines at most.")] = 200,
    ) -> Blame:
        """Which commit last changed each line of a file."""
        git = await self._repositories.git(repository)
        at: tuple[str, ...]
        if revision:
            at, working = (await git.commit_id(revision),), b""
        else:  # git itself would follow a folder that was replaced by a link
            at, working = ("--contents", "-"), await to_thread.run_sync(_working_file, git.folder, inside(path))
        lines = ("-L", f"{first_line},+{line_count}")
        output = await git.data(
            "blame", "--line-porcelain", "--no-textconv", *lines, *at, "--", inside(path), stdin=working
        )
        return Blame(path=path, lines=parsing.blamed(output.decode(errors="replace")))


def _working_file(folder: str, path: str) -> bytes:
    """A file of the work tree, reached without passing any link."""
    with (
        opened_file(Roots([folder]).place(path), follow_links=False) as source,
        os.fdopen(os.dup(source), "rb") as file,
    ):
        data = file.read(BLAME_BYTES_MAX + 1)
    if len(data) > BLAME_BYTES_MAX:
        raise Invalid("file.too_large", f"{path[:200]!r} is larger than {BLAME_BYTES_MAX} bytes.", "Name a revision.")
    return data


async def _diff(git: Git, command: tuple[str, ...], sides: tuple[str, ...], context: int, bytes_max: int) -> Diff:
    name, *options = command
    counted = await git.text(name, *options, *_DIFF, "--numstat", "-z", *sides)
    found = await git.finished(name, *options, *_DIFF, f"--unified={context}", *sides, bytes_max=bytes_max)
    return Diff(files=parsing.counts(counted), diff=found.output.decode(errors="replace"), truncated=found.truncated)


def _only(path: str) -> tuple[str, ...]:
    return (inside(path),) if path else ()


def _plain(value: str) -> str:
    if "\0" in value or "\n" in value:
        raise Invalid("git.filter", "A filter contains a line end or NUL.", "Give it as one line.")
    return value
