"""Files with `servers` and perhaps `inputs`: VS Code, and others that took the word over."""

from __future__ import annotations

import re
from collections.abc import Iterator

from garrison.catalog.family import Family, Origin, Reading, read_servers, runnable, warn_of_outsiders
from garrison.catalog.notes import Notes
from garrison.catalog.parse.tree import Listing, Node, Scalar, Table

_NOT_IN_NAMES = re.compile(r"[^A-Z0-9_]+")


def _holders(root: Node) -> Iterator[Table]:
    """The tables that have `servers`: the root, or below `mcp` in settings, workspaces and dev containers."""
    if not isinstance(root, Table):
        return
    ways = ((), ("mcp",), ("settings", "mcp"), ("customizations", "vscode", "mcp"))
    for way in ways:
        table: Node | None = root
        for key in way:
            table = table.get(key) if isinstance(table, Table) else None
        if isinstance(table, Table) and isinstance(table.get("servers"), Table | Listing):
            yield table


def _fits(root: Node, origin: Origin) -> bool:
    return any(_any_server(holder.get("servers")) for holder in _holders(root))


def _any_server(servers: Node | None) -> bool:
    """OpenAPI documents have `servers` too: a list of bare urls."""
    if isinstance(servers, Listing):
        return not servers.items or any(
            runnable(item) and isinstance(item, Table) and "name" in item.keys for item in servers.items
        )
    return isinstance(servers, Table) and (not servers.entries or any(runnable(entry.value) for entry in servers))


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    reading = Reading()
    variables: dict[str, str] = {}
    for holder in _holders(root):
        servers = holder.get("servers")
        if servers is not None:
            reading.drafts += read_servers("servers", servers, notes, origin.habits)
        variables |= _inputs(holder.get("inputs"))
        warn_of_outsiders(holder, frozenset({"servers"}), notes)
    reading.variables = variables
    return reading


def _inputs(node: Node | None) -> dict[str, str]:
    """`inputs` ask the user of the editor; here each becomes a variable of the environment."""
    found: dict[str, str] = {}
    for item in node.items if isinstance(node, Listing) else ():
        identity = item.get("id") if isinstance(item, Table) else None
        if not isinstance(item, Table) or not isinstance(identity, Scalar) or not identity.text:
            continue
        variable = variable_name(identity.text)
        default = item.get("default")
        fallback = f":-{default.text}" if isinstance(default, Scalar) and _safe_default(default.text) else ""
        found[f"input:{identity.text}"] = "${" + variable + fallback + "}"
    return found


def _safe_default(text: str) -> bool:
    return bool(text) and not set(text) & set("${}")


def variable_name(text: str) -> str:
    """`perplexity-key` → `PERPLEXITY_KEY`."""
    name = _NOT_IN_NAMES.sub("_", text.upper()).strip("_") or "INPUT"
    return f"_{name}" if name[0].isdigit() else name


FAMILY = Family("servers", _fits, _read)
