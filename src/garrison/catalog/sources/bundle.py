"""The manifest of a bundle (`.mcpb`, formerly `.dxt`; manifest versions 0.1 to 0.4)."""

from __future__ import annotations

import re
import sys

from garrison.catalog.entry import read_entry
from garrison.catalog.family import Family, Origin, Reading
from garrison.catalog.notes import Notes
from garrison.catalog.parse.tree import Entry, Node, Scalar, Table


def _fits(root: Node, origin: Origin) -> bool:
    if not isinstance(root, Table) or not isinstance(root.get("server"), Table):
        return False
    return bool({"manifest_version", "dxt_version"} & root.keys)


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    server = root.get("server") if isinstance(root, Table) else None
    name = root.get("name") if isinstance(root, Table) else None
    called = name.text if isinstance(name, Scalar) and name.text.strip() else origin.path.stem
    config = server.get("mcp_config") if isinstance(server, Table) else None
    if not isinstance(root, Table) or not isinstance(server, Table) or not isinstance(config, Table):
        message = "the manifest has no server.mcp_config: it does not say how the server starts"
        notes.error("bundle.no_command", message, "ask for a newer bundle", root.place)
        return Reading()
    draft = read_entry(called, config.place, _for_this_platform(config), notes, origin.habits)
    if origin.path.suffix in (".mcpb", ".dxt"):
        message = "the bundle has to be unpacked before its server can run"
        notes.error("bundle.packed", message, "unzip it, and import the manifest.json inside", root.place)
    reading = Reading([draft] if draft else [])
    reading.variables = _user_config(root.get("user_config"))
    description = root.get("description")
    if draft and isinstance(description, Scalar):
        draft.description = " ".join(description.text.split())
    return reading


def _for_this_platform(config: Table) -> Table:
    """`platform_overrides` replace single keys."""
    overrides = config.get("platform_overrides")
    own = overrides.get(sys.platform) if isinstance(overrides, Table) else None
    entries: dict[str, Entry] = {entry.key: entry for entry in config if entry.key != "platform_overrides"}
    if isinstance(own, Table):
        entries |= {entry.key: entry for entry in own}
    return Table(tuple(entries.values()), config.place)


def _user_config(node: Node | None) -> dict[str, str]:
    """The values that the client would ask for become variables of the environment."""
    found: dict[str, str] = {}
    for entry in node if isinstance(node, Table) else ():
        variable = re.sub(r"\W", "_", entry.key, flags=re.ASCII).upper()
        default = entry.value.get("default") if isinstance(entry.value, Table) else None
        fallback = default.text if isinstance(default, Scalar) else ""
        usable = fallback and not set(fallback) & set("${}")
        found[f"user_config.{entry.key}"] = "${" + variable + (f":-{fallback}" if usable else "") + "}"
    return found


FAMILY = Family("bundle manifest", _fits, _read)
