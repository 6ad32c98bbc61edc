"""OpenCode: `mcp`, where a command is one list with its arguments and variables are `{env:NAME}`."""

from __future__ import annotations

from garrison.catalog.family import Family, Origin, Reading, read_servers
from garrison.catalog.notes import Notes
from garrison.catalog.parse.tree import Node, Scalar, Table


def _fits(root: Node, origin: Origin) -> bool:
    if not isinstance(root, Table):
        return False
    schema = root.get("$schema")
    ours = isinstance(schema, Scalar) and "opencode" in schema.text
    return isinstance(root.get("mcp"), Table) and (ours or not {"servers", "mcpServers"} & root.keys)


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    servers = root.get("mcp") if isinstance(root, Table) else None
    return Reading(read_servers("mcp", servers, notes, origin.habits) if servers is not None else [])


FAMILY = Family("mcp", _fits, _read)
