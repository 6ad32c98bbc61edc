"""One git repository, and the git program run in it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from garrison.kernel.errors import Conflict, Denied, GarrisonError, Invalid, Limited, NotFound, Unavailable
from garrison.servers.git.hardening import Identity, environment, lies_elsewhere
from garrison.servers.toolkit.processes import Finished, Limits, run

OUTPUT_BYTES_MAX: Final = 1024 * 1024
TIMEOUT_S: Final = 30.0


class Git:
    """An allowed repository that was found to be what it claims to be; get one from `opened`."""

    def __init__(self, folder: str, variables: dict[str, str]) -> None:
        self.folder = folder
        self._variables = variables

    async def finished(self, *arguments: str, stdin: bytes = b"", bytes_max: int = OUTPUT_BYTES_MAX) -> Finished:
        """Run a git command that must succeed; its output may be cut."""
        finished = await self._run(arguments, stdin, bytes_max)
        if finished.code and not finished.truncated:
            raise explained(finished.errors.decode(errors="replace"))
        return finished

    async def data(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """The whole output of a git command; `Limited` when it does not fit the bound."""
        finished = await self.finished(*arguments, stdin=stdin)
        if finished.truncated:
            raise Limited("git.too_much", "The answer is too large.", "Ask for less at a time.")
        return finished.output

    async def text(self, *arguments: str) -> str:
        return (await self.data(*arguments)).decode(errors="replace")

    async def commit_id(self, revision: str) -> str:
        """The full id of the commit that `revision` names: from here on no caller's text is read as a revision."""
        if not revision or revision.startswith("-") or not revision.isprintable():
            raise Invalid("git.revision", f"{revision[:80]!r} is not a revision.", "Give a branch, tag or commit id.")
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        finished = await self._run(arguments)
        found = finished.output.decode(errors="replace").strip()
        if finished.code or not re.fullmatch(r"[0-9a-f]{40,64}", found):
            hint = "The repository has no commit yet." if revision == "HEAD" else "Ask git_branches or git_log."
            raise NotFound("git.unknown_revision", f"There is no commit {revision[:80]!r}.", hint)
        return found

    async def setting_names(self) -> list[str]:
        """Names of all settings that the repository makes, includes followed."""
        listed = await self.data("config", "--list", "--name-only", "-z")
        return listed.decode(errors="surrogateescape").split("\0")

    async def refuse_elsewhere(self, allowed: Sequence[str]) -> None:
        """`Denied` when the repository keeps its data outside the allowed folders."""
        told = await self.data("rev-parse", "--absolute-git-dir", "--git-common-dir")
        folders = [Path(self.folder, line) for line in os.fsdecode(told).split("\n")[:-1]]
        if lies_elsewhere(folders, allowed):
            raise Denied(
                "git.elsewhere",
                "The repository keeps its data outside the allowed repositories.",
                "Allow the repository that it belongs to as well.",
            )

    async def _run(self, arguments: Sequence[str], stdin: bytes = b"", bytes_max: int = OUTPUT_BYTES_MAX) -> Finished:
        argv = [program(), "--no-pager", "--no-replace-objects", "--literal-pathspecs", *arguments]
        limits = Limits(timeout_s=TIMEOUT_S, output_bytes_max=bytes_max)
        return await run(argv, env=self._variables, cwd=self.folder, stdin=stdin, limits=limits)


async def opened(folder: str, allowed: Sequence[str], identity: Identity) -> Git:
    """The repository in `folder`, with its own settings made harmless. `allowed` are all allow-listed folders."""
    wary = Git(folder, environment(folder, Identity()))
    await wary.refuse_elsewhere(allowed)
    return Git(folder, environment(folder, identity, await wary.setting_names()))


def program() -> str:
    """Where git is; `Unavailable` when it is not."""
    found = shutil.which("git")
    if found is None:
        raise Unavailable("git.missing", "git is not installed.", "Install it, for example: apt-get install git")
    return found


async def own_identity() -> Identity:
    """The name and address in the settings of the user who runs this server; empty where there are none."""
    variables = {key: os.environ[key] for key in ("PATH", "HOME", "XDG_CONFIG_HOME") if key in os.environ}

    async def setting(name: str) -> str:
        found = await run([program(), "config", "--global", "--get", name], env=variables, cwd="/")
        return found.output.decode(errors="replace").strip()

    return Identity(await setting("user.name"), await setting("user.email"))


_NOTHING: Final = (Conflict, "git.nothing_to_commit", "Nothing is staged.", "Stage something with git_add.")
_NOBODY: Final = (
    Conflict,
    "git.no_identity",
    "git does not know whose commit this is.",
    "Start the server with --author-name and --author-email.",
)
_MEANINGS: Final[dict[str, tuple[type[GarrisonError], str, str, str]]] = {
    "not a git repository": (
        NotFound,
        "git.no_repository",
        "This folder is not a git repository.",
        "Run git init there.",
    ),
    "must be run in a work tree": (Invalid, "git.bare", "A bare repository has no working files.", "Use git_log."),
    "nothing to commit": _NOTHING,
    "nothing added to commit": _NOTHING,
    "no changes added": _NOTHING,
    "tell me who you are": _NOBODY,
    "auto-detection is disabled": _NOBODY,
    "would be overwritten": (Conflict, "git.dirty", "Local changes would be overwritten.", "Commit them first."),
    "index.lock": (Conflict, "git.locked", "Another git process is changing this repository.", "Try again."),
    "already exists": (Conflict, "git.exists", "That name exists already.", "Choose another name."),
}


def explained(errors: str) -> GarrisonError:
    """What git's message means; the order of phrases is that of the table."""
    for phrase, (kind, code, message, hint) in _MEANINGS.items():
        if phrase in errors:
            return kind(code, message, hint)
    first = next((line for line in errors.splitlines() if line.startswith(("fatal:", "error:"))), "fatal: git failed.")
    return Invalid("git.failed", first.partition(": ")[2][:500], "Check the names and paths given.")
