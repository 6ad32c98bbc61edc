"""Goose: `extensions` with `cmd`, `args`, `envs`; some are built into Goose itself."""

from __future__ import annotations

from dataclasses import replace

from garrison.catalog.family import Family, Origin, Reading, read_servers, runnable
from garrison.catalog.notes import Notes, brief
from garrison.catalog.parse.tree import Node, Scalar, Table

_INSIDE = frozenset({"builtin", "platform", "frontend", "inline_python"})


def _fits(root: Node, origin: Origin) -> bool:
    extensions = root.get("extensions") if isinstance(root, Table) else None
    return isinstance(extensions, Table) and any(
        runnable(entry.value) or _kind(entry.value) in _INSIDE for entry in extensions
    )


def _kind(node: Node) -> str:
    kind = node.get("type") if isinstance(node, Table) else None
    return kind.text if isinstance(kind, Scalar) else ""


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    extensions = root.get("extensions") if isinstance(root, Table) else None
    if not isinstance(extensions, Table):
        return Reading()
    for entry in extensions:
        if _kind(entry.value) in _INSIDE:
            message = f"{brief(entry.key)} is part of Goose itself; it is left out"
            notes.note("entry.unsupported", message, "", entry.place)
    own = tuple(entry for entry in extensions if _kind(entry.value) not in _INSIDE)
    habits = replace(origin.habits, timeout_unit="s")
    return Reading(read_servers("extensions", Table(own, extensions.place), notes, habits))


FAMILY = Family("extensions", _fits, _read)
