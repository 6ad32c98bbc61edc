"""The allow-list: which repositories there are, and what a caller may call them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from garrison.kernel.errors import Denied, Invalid, NotFound
from garrison.servers.git.hardening import Identity
from garrison.servers.git.program import Git, opened, own_identity

RepositoryName = Annotated[
    str,
    Meta(description="Path or folder name of an allowed repository; where there is only one, it may be empty or `.`."),
]
FileName = Annotated[str, Meta(description="Path within the repository.", min_length=1, max_length=4096)]


class Repositories:
    """Repositories by their canonical folder. Equal or refused: nothing below or beside a folder is allowed with it."""

    def __init__(self, paths: Sequence[str], identity: Identity) -> None:
        self.folders = tuple(_folder(path) for path in paths)
        self._names = {os.path.abspath(os.path.expanduser(path)) for path in paths}  # noqa: PTH100, PTH111
        self._identity = identity

    async def git(self, wanted: str) -> Git:
        """The repository that a caller means; `Denied` when it is not on the list."""
        return await opened(self._allowed(wanted), self.folders, self._identity)

    async def git_for_commits(self, wanted: str) -> Git:
        """The same, where a missing identity is that of the user who runs this server."""
        own = Identity() if self._identity.name and self._identity.email else await own_identity()
        identity = Identity(self._identity.name or own.name, self._identity.email or own.email)
        return await opened(self._allowed(wanted), self.folders, identity)

    def _allowed(self, wanted: str) -> str:
        if wanted.strip() in ("", ".", "./"):
            return self._only()
        if "\0" in wanted:
            raise Invalid("path.nul", "The repository's path contains a NUL character.")
        named = [folder for folder in self.folders if Path(folder).name == wanted]
        if len(named) == 1:
            return named[0]
        if named:
            raise Invalid("git.which", f"Several repositories are called {wanted[:200]!r}.", _by_path(named))
        lexical = os.path.normpath(wanted)
        if lexical in self._names or lexical in self.folders:
            folder = os.path.realpath(lexical)
            if folder in self.folders:
                return folder
        raise Denied(
            "git.not_allowed",
            f"{wanted[:200]!r} is not an allowed repository.",
            _by_path(self.folders),
        )

    def _only(self) -> str:
        if len(self.folders) > 1:
            raise Invalid("git.which", "There are several repositories.", _by_path(self.folders))
        return self.folders[0]


def _by_path(folders: Sequence[str]) -> str:
    return f"Name the one allowed here: {folders[0]}." if len(folders) == 1 else f"Name one: {', '.join(folders)}."


def _folder(path: str) -> str:
    real = os.path.realpath(os.path.expanduser(path))  # noqa: PTH111  # of one kind with the comparison above
    if not Path(real).is_dir():
        raise NotFound("root.missing", f"{path} is not a folder.", "Name a folder that exists.")
    return real


def inside(path: str) -> str:
    """A path within a repository, checked as text; git itself refuses to pass symbolic links."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise Invalid(
            "git.path", f"{path[:200]!r} is not a path within the repository.", "Give it relative to its top."
        )
    if parts[0].casefold() == ".git":
        raise Denied("git.path", "The repository's own data is not a file of the repository.")
    return path
