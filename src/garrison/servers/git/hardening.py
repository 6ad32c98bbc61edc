"""What git may not be told by a repository: the environment that silences its settings, and what it may use.

A repository is data from strangers. Its `.git/config` can name programs for a dozen occasions, and point the work tree
or the object store elsewhere. The environment below overrides every such setting; the settings with free names
(content filters and the like) have to be listed first and are then emptied one by one. A setting from the environment
beats the repository's in git's own order of precedence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_OVERRIDES: Final = {
    "blame.ignoreRevsFile": "",
    "color.ui": "never",
    "commit.gpgSign": "false",
    "commit.template": "",
    "core.askPass": "",
    "core.attributesFile": os.devnull,
    "core.editor": "false",
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.quotePath": "false",
    "core.sshCommand": "false",
    "credential.helper": "",
    "diff.external": "",
    "diff.ignoreSubmodules": "dirty",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.orderFile": os.devnull,
    "diff.submodule": "short",
    "gc.auto": "0",
    "gpg.program": "false",
    "i18n.logOutputEncoding": "UTF-8",
    "log.mailmap": "false",
    "log.showSignature": "false",
    "mailmap.blob": "",
    "mailmap.file": "",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.ext.allow": "never",
    "protocol.file.allow": "never",
    "submodule.recurse": "false",
    "user.useConfigOnly": "true",
}
_EMPTIED: Final = re.compile(
    r"(?:filter\..+\.(?:clean|smudge|process)|diff\..+\.(?:command|textconv)|merge\..+\.driver)"
)
_NOT_REQUIRED: Final = re.compile(r"filter\..+\.required")


@dataclass(frozen=True)
class Identity:
    """Whose name new commits carry when the repository says nothing."""

    name: str = ""
    email: str = ""


def environment(folder: str, identity: Identity, names: Sequence[str] = ()) -> dict[str, str]:
    """The whole environment of a git process in `folder`; `names` are the settings that the repository makes."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_ASKPASS": "false",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(Path(folder).parent),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_EDITOR": "false",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        **_work_tree(folder),
        **_as_variables(_settings(folder, identity, names)),
    }


def _settings(folder: str, identity: Identity, names: Sequence[str]) -> dict[str, str]:
    settings = {**_OVERRIDES, "safe.directory": folder}
    settings |= {name: "" for name in names if _EMPTIED.fullmatch(name)}
    settings |= {name: "false" for name in names if _NOT_REQUIRED.fullmatch(name)}
    own = {"user.name": identity.name, "user.email": identity.email}
    return settings | {name: value for name, value in own.items() if value and name not in names}


def _as_variables(settings: dict[str, str]) -> dict[str, str]:
    """As git reads settings from its environment: unlike `-c`, a name may hold any character."""
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, (name, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{index}": name, f"GIT_CONFIG_VALUE_{index}": value}
    return variables


def _work_tree(folder: str) -> dict[str, str]:
    """Gives `core.worktree` no say; a bare repository has no work tree."""
    return {"GIT_WORK_TREE": folder} if os.path.lexists(Path(folder, ".git")) else {}


def lies_elsewhere(git_folders: Sequence[Path], allowed: Sequence[str]) -> bool:
    """Whether a repository uses anything outside the allowed folders.

    `.git` can be a file or a link, and objects can be borrowed through `objects/info/alternates`.
    """
    used = [*git_folders, *(path for folder in git_folders for path in _borrowed(folder))]
    return not all(_is_beneath(path, allowed) for path in used)


def _is_beneath(path: Path, allowed: Sequence[str]) -> bool:
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(folder) for folder in allowed)


def _borrowed(folder: Path) -> Iterator[Path]:
    yield from (each for each in folder.iterdir() if each.is_symlink())
    try:
        lines = Path(folder, "objects", "info", "alternates").read_text(errors="surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (folder / "objects" / line for line in lines if line and not line.startswith("#"))
