"""Files with `mcpServers` (or `mcp_servers` in TOML): Claude Code and Desktop, Cursor, Copilot CLI, Codex, Windsurf,
Gemini CLI, Cline, Roo, Kiro, Amazon Q and many more. They differ in habits only (see `catalog.clients`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from garrison.catalog.entry_keys import Habits
from garrison.catalog.family import Family, Origin, Reading, read_servers, warn_of_outsiders
from garrison.catalog.notes import Notes
from garrison.catalog.parse.tree import Entry, Listing, Node, Table
from garrison.catalog.vocabulary import squeeze

_DEPTH = 4
"""`projects: {PATH: {mcpServers}}` and the like."""


def _containers(node: Node, depth: int = 0) -> Iterator[Entry]:
    if isinstance(node, Table) and depth < _DEPTH:
        for entry in node:
            if _is_container(entry):
                yield entry
            else:
                yield from _containers(entry.value, depth + 1)
    elif isinstance(node, Listing) and depth < _DEPTH:
        for item in node.items:
            yield from _containers(item, depth + 1)


def _is_container(entry: Entry) -> bool:
    key = squeeze(entry.key)
    return key == "mcpservers" or key.endswith(".mcpservers")


def _fits(root: Node, origin: Origin) -> bool:
    return next(_containers(root), None) is not None


def _habits(root: Node, origin: Origin) -> Habits:
    """`httpUrl` is a word of Gemini's alone: there `url` means SSE."""
    entries = (server.value for found in _containers(root) if isinstance(found.value, Table) for server in found.value)
    if any(isinstance(server, Table) and "httpUrl" in server.keys for server in entries):
        return replace(origin.habits, url_kind="sse", url_wins=True)
    return origin.habits


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    reading = Reading()
    habits = _habits(root, origin)
    for container in _containers(root):
        reading.drafts += read_servers(container.key, container.value, notes, habits)
    if isinstance(root, Table) and origin.path.suffix != ".toml":  # Codex has other tables with a command
        warn_of_outsiders(root, frozenset(entry.key for entry in root if _is_container(entry)), notes)
    return reading


FAMILY = Family("mcpServers", _fits, _read)
