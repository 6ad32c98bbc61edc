"""Zed's settings: `context_servers`, either commands or settings for an extension."""

from __future__ import annotations

from garrison.catalog.family import Family, Origin, Reading, read_servers, runnable
from garrison.catalog.notes import Notes, brief
from garrison.catalog.parse.tree import Node, Scalar, Table


def _fits(root: Node, origin: Origin) -> bool:
    return isinstance(root, Table) and "context_servers" in root.keys


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    servers = root.get("context_servers") if isinstance(root, Table) else None
    if not isinstance(servers, Table):
        return Reading()
    own = Table(tuple(entry for entry in servers if not _of_extension(entry.value)), servers.place)
    for entry in servers:
        if _of_extension(entry.value):
            message = f"{brief(entry.key)} is run by an extension of Zed; the file does not say how"
            notes.warn("entry.unsupported", message, "give its command and args to have it here", entry.place)
    return Reading(read_servers("context_servers", own, notes, origin.habits))


def _of_extension(node: Node) -> bool:
    if not isinstance(node, Table):
        return False
    source = node.get("source")
    if isinstance(source, Scalar) and source.value == "extension":
        return True
    return not runnable(node) and "settings" in node.keys


FAMILY = Family("context_servers", _fits, _read)
