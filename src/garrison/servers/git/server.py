"""The git server: its options and its tools."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from garrison.servers.git.hardening import Identity
from garrison.servers.git.looking import Looking
from garrison.servers.git.recording import Recording
from garrison.servers.git.repositories import Repositories
from garrison.servers.toolkit.app import App
from garrison.servers.toolkit.tool import ADDS, ENSURES, READS, REPLACES


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which repositories the git server may look into."""

    repositories: Annotated[
        tuple[str, ...], Meta(min_length=1, description="An allowed repository.", extra={"flag": "--root"})
    ]
    writable: Annotated[bool, Meta(description="Let it stage, commit, branch and switch.")] = False
    author_name: Annotated[str, Meta(description="Name on new commits; default: the user's own git settings.")] = ""
    author_email: Annotated[str, Meta(description="Address on new commits.")] = ""


def build(options: Options) -> App:
    repositories = Repositories(options.repositories, Identity(options.author_name, options.author_email))
    app = App(
        "git",
        "Git",
        f"Looks into (and if writable changes) these git repositories: {', '.join(repositories.folders)}. "
        "Hooks, content filters (such as LFS) and remotes are never used.",
        writable=options.writable,
    )
    looking, recording = Looking(repositories), Recording(repositories)
    app.add("Status", READS, looking.git_status)
    app.add("History", READS, looking.git_log)
    app.add("Differences", READS, looking.git_diff)
    app.add("Show a commit", READS, looking.git_show)
    app.add("Show a file at a revision", READS, looking.git_show_file)
    app.add("Branches", READS, looking.git_branches)
    app.add("Who changed each line", READS, looking.git_blame)
    app.add("Stage files", ENSURES, recording.git_add)
    app.add("Commit", ADDS, recording.git_commit)
    app.add("Create a branch", ADDS, recording.git_create_branch)
    app.add("Switch branch", REPLACES, recording.git_checkout)
    return app
