"""The git tools that change a repository."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from garrison.kernel.errors import Invalid, NotFound
from garrison.servers.git import parsing
from garrison.servers.git.parsing import Commit
from garrison.servers.git.program import Git
from garrison.servers.git.repositories import FileName, Repositories, RepositoryName, inside

BranchName = Annotated[str, Meta(description="Name of a local branch.", min_length=1, max_length=200)]


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    paths: list[str]
    """What was staged: changed, new and deleted files."""


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    commit: Commit
    branch: str | None


class OnBranch(msgspec.Struct, frozen=True, kw_only=True):
    branch: str
    commit: str


class Recording:
    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    async def git_add(
        self,
        paths: Annotated[list[FileName], Meta(min_length=1, max_length=1_000, description="Files or folders.")],
        repository: RepositoryName = "",
    ) -> Staged:
        """Stage files as they are now, deletions included. Ignored files are left out."""
        git = await self._repositories.git(repository)
        # Not `git add`: it would ask submodules for their state, and so obey their configuration.
        wanted = [inside(path) for path in paths]
        listed = await git.data(
            "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", *wanted
        )
        if not listed:
            raise NotFound("git.no_files", "No such files, or only ignored ones.", "Ask git_status what changed.")
        await git.data("update-index", "--add", "--remove", "-z", "--stdin", stdin=listed)
        staged = await git.text("diff", "--cached", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--", *wanted)
        return Staged(paths=[path for path in staged.split("\0") if path])

    async def git_commit(
        self,
        message: Annotated[str, Meta(description="The commit message.", min_length=1, max_length=20_000)],
        repository: RepositoryName = "",
    ) -> Committed:
        """Commit what is staged. Hooks do not run, nothing is signed."""
        if "\0" in message or not message.strip():
            raise Invalid("git.message", "The message is empty or contains NUL.", "Say what the commit does.")
        git = await self._repositories.git_for_commits(repository)
        if not await git.text("diff", "--cached", "--name-only", "-z", "--no-ext-diff", "--"):
            raise Invalid("git.nothing_to_commit", "Nothing is staged.", "Stage something with git_add.")
        await git.data("commit", "--quiet", "--no-verify", "--no-gpg-sign", "-F", "-", stdin=message.encode())
        told = await git.text("log", "-z", "-1", f"--format={parsing.LOG_FORMAT}", "--no-mailmap", "HEAD", "--")
        branch = await _current_branch(git)
        return Committed(commit=parsing.commits(told)[0], branch=branch)

    async def git_create_branch(
        self,
        name: BranchName,
        repository: RepositoryName = "",
        start: Annotated[str, Meta(description="Where it begins: a revision.", max_length=256)] = "HEAD",
    ) -> OnBranch:
        """Make a branch, without switching to it. Fails if the name is taken."""
        git = await self._repositories.git(repository)
        await _check_name(git, name)
        commit = await git.commit_id(start)
        await git.text("branch", "--no-track", "--", name, commit)
        return OnBranch(branch=name, commit=commit)

    async def git_checkout(self, branch: BranchName, repository: RepositoryName = "") -> OnBranch:
        """Switch the working files to a local branch; refused when local changes would be lost."""
        git = await self._repositories.git(repository)
        await _check_name(git, branch)
        commit = await git.commit_id(f"refs/heads/{branch}")
        await git.text("switch", "--quiet", "--no-guess", "--no-recurse-submodules", "--", branch)
        return OnBranch(branch=branch, commit=commit)


async def _check_name(git: Git, name: str) -> None:
    """Git's own rules for branch names, which also refuse a leading `-`; `@{-1}` and the like are no names."""
    refusal = Invalid("git.branch_name", f"{name[:80]!r} is not a branch name.", "git_branches lists those there are.")
    if name.startswith("-") or "@{" in name or "\0" in name:
        raise refusal
    try:
        await git.text("check-ref-format", f"refs/heads/{name}")
    except Invalid:
        raise refusal from None


async def _current_branch(git: Git) -> str | None:
    name = (await git.text("rev-parse", "--symbolic-full-name", "HEAD")).strip()
    return name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None
