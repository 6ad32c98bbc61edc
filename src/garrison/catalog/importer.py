"""Any client's files become one garrison.yaml and a set of secrets. Pure: writing both is the caller's work."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from garrison.catalog import render
from garrison.catalog.clients import project_folder
from garrison.catalog.load import Loaded
from garrison.catalog.problems import Problem
from garrison.catalog.references import escape
from garrison.catalog.spec import ServerSpec

_SOLVED = frozenset({"secret.plaintext"})
"""What the import itself puts right needs no comment in its result."""


@dataclass(frozen=True)
class ImportPlan:
    """`yaml_text` refers to `secrets` by name; their values are nowhere else."""

    yaml_text: str
    secrets: dict[str, str] = field(repr=False)
    problems: tuple[Problem, ...]


def plan_import(loaded: Loaded, folder: str = "") -> ImportPlan:
    """`folder`: where the garrison.yaml will be; by default the project folder of the first file."""
    if not folder and loaded.files:
        folder = project_folder(loaded.files[0].absolute())
    return ImportPlan("\n".join([*_lines(loaded, folder), ""]), dict(loaded.secrets), loaded.problems)


def _lines(loaded: Loaded, folder: str) -> Iterator[str]:
    names = ", ".join(dict.fromkeys(path.name for path in loaded.files))
    yield render.comment(f"Imported by Garrison from {names or 'nothing'}.")
    if loaded.secrets:
        yield render.comment("Secrets are kept in the secrets file; ${secret:NAME} stands for them here.")
    servers = loaded.snapshot.servers
    yield "servers:" if servers else "servers: {}"
    several = len(set(loaded.origins.values())) > 1
    for spec in servers.values():
        yield from render.server(spec, _cwd(spec, folder), _remarks(loaded, spec, several=several))
    if loaded.snapshot.roles:
        yield "roles:"
        for role in loaded.snapshot.roles.values():
            yield from render.role(role)
    if loaded.snapshot.profiles:
        yield "profiles:"
        for profile in loaded.snapshot.profiles.values():
            yield from render.profile(profile)
    yield from render.tree(msgspec.to_builtins(loaded.snapshot.sections), 0)
    if loaded.settings:
        yield "settings:"
        yield from render.tree(loaded.settings, 2)


def _remarks(loaded: Loaded, spec: ServerSpec, *, several: bool) -> Iterator[str]:
    if several and spec.name in loaded.origins:
        yield f"from {loaded.origins[spec.name].name}"
    messages = [problem.message for problem in loaded.remarks.get(spec.name, ()) if problem.code not in _SOLVED]
    yield from dict.fromkeys(message.partition(": ")[2] for message in messages)


def _cwd(spec: ServerSpec, folder: str) -> str:
    """Relative where it is inside the folder, so that the folder can be moved; empty for the folder itself."""
    escaped = escape(folder)
    if spec.url or not folder or spec.cwd == escaped:
        return ""
    if spec.cwd.startswith(escaped.rstrip("/") + "/"):
        return "./" + posixpath.relpath(spec.cwd, escaped)
    return spec.cwd
