"""What a reader of one file family gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from garrison.catalog.draft import Draft
from garrison.catalog.entry import read_entry
from garrison.catalog.entry_keys import Habits
from garrison.catalog.notes import Notes, Place, brief
from garrison.catalog.parse.tree import Listing, Node, Plain, Scalar, Table
from garrison.catalog.sections import Sections
from garrison.catalog.spec import ProfileSpec, RoleSpec
from garrison.catalog.vocabulary import MEANINGS, RUNNABLE, is_comment, squeeze


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a document comes from. `folder` is the project's: relative paths in the file start there."""

    path: Path
    folder: str
    habits: Habits


@dataclass(slots=True)
class Reading:
    """What one document declares."""

    drafts: list[Draft] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=dict)
    """Foreign references of this file, without their braces, and what they are in ours."""
    native: bool = False
    """Written for Garrison: taken as it is, nothing translated."""
    roles: Mapping[str, RoleSpec] = field(default_factory=dict)
    profiles: Mapping[str, ProfileSpec] = field(default_factory=dict)
    sections: Sections = field(default_factory=Sections)
    settings: Mapping[str, Plain] = field(default_factory=dict)
    setting_places: Mapping[str, Place] = field(default_factory=dict)
    """Where each setting stands, by dotted name."""
    rule_places: Mapping[str, Place] = field(default_factory=dict)
    """Where each rule of authorisation stands, by its name."""


@dataclass(frozen=True, slots=True)
class Family:
    """`fits` looks at the shape alone; `read` may rely on it."""

    name: str
    fits: Callable[[Node, Origin], bool]
    read: Callable[[Node, Origin, Notes], Reading]


def runnable(node: Node | None) -> bool:
    """Does it look like a server entry: a group of keys, one of which says what to run or reach?"""
    return isinstance(node, Table) and any(MEANINGS.get(squeeze(entry.key)) in RUNNABLE for entry in node)


def read_servers(key: str, node: Node, notes: Notes, habits: Habits) -> list[Draft]:
    """All entries of a container: a map by name, or a list of entries with a name inside."""
    if isinstance(node, Table):
        entries = [(entry.key, entry.place, entry.value) for entry in node if squeeze(entry.key) != "mcpservers"]
    elif isinstance(node, Listing):
        entries = [(_inner_name(item, position), item.place, item) for position, item in enumerate(node.items, 1)]
    elif node.value is None:
        return []
    else:
        message = f"{brief(key)} holds a text, not servers"
        notes.warn("file.servers_elsewhere", message, "give --config the file that it names", node.place)
        return []
    drafts = (read_entry(name, place, value, notes, habits) for name, place, value in entries)
    return [draft for draft in drafts if draft is not None]


def _inner_name(item: Node, position: int) -> str:
    if isinstance(item, Table):
        for key in ("name", "id", "serverName", "label"):
            name = item.get(key)
            if isinstance(name, Scalar) and name.text.strip():
                return name.text.strip()
    return f"server-{position}"


def warn_of_outsiders(root: Table, containers: frozenset[str], notes: Notes) -> None:
    """Entries beside the container that look like servers: a bracket in the wrong place, most often."""
    for entry in root:
        if entry.key not in containers and not is_comment(entry.key) and runnable(entry.value):
            message = f"{brief(entry.key)} looks like a server, but stands outside the servers; it is left out"
            notes.warn("file.outside", message, "move it inside", entry.place)
