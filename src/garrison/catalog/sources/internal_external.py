"""Agent frameworks that split their servers into `internalServers` and `externalServers`."""

from __future__ import annotations

from garrison.catalog.family import Family, Origin, Reading, read_servers
from garrison.catalog.notes import Notes
from garrison.catalog.parse.tree import Node, Table

_KEYS = ("internalServers", "externalServers")


def _fits(root: Node, origin: Origin) -> bool:
    return isinstance(root, Table) and any(isinstance(root.get(key), Table) for key in _KEYS)


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    reading = Reading()
    for key in _KEYS:
        servers = root.get(key) if isinstance(root, Table) else None
        if servers is not None:
            reading.drafts += read_servers(key, servers, notes, origin.habits)
    return reading


FAMILY = Family("internalServers", _fits, _read)
