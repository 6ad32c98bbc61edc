"""Servers without a container: a map of entries, a list of entries, or one entry alone."""

from __future__ import annotations

from garrison.catalog.entry import read_entry
from garrison.catalog.family import Family, Origin, Reading, read_servers, runnable
from garrison.catalog.notes import Notes
from garrison.catalog.parse.tree import Listing, Node, Scalar, Table
from garrison.catalog.vocabulary import MEANINGS, Meaning, is_comment, squeeze

_TELLING = frozenset({Meaning.ARGS, Meaning.ENV, Meaning.KIND, Meaning.HEADERS})


def _fits(root: Node, origin: Origin) -> bool:
    return _is_map(root) or _is_list(root) or _is_entry(root)


def _is_map(root: Node) -> bool:
    """Every value a group of keys, at least half of them servers."""
    if not isinstance(root, Table):
        return False
    values = [entry.value for entry in root if not is_comment(entry.key)]
    servers = sum(runnable(value) for value in values)
    return servers > 0 and 2 * servers >= len(values) and all(isinstance(value, Table) for value in values)


def _is_list(root: Node) -> bool:
    return isinstance(root, Listing) and any(runnable(item) for item in root.items)


def _is_entry(root: Node) -> bool:
    """A command in text or list, with at least one more word of a server entry."""
    if not isinstance(root, Table) or not runnable(root):
        return False
    command = root.get("command") or root.get("url") or root.get("httpUrl") or root.get("serverUrl")
    meanings = {MEANINGS.get(squeeze(entry.key)) for entry in root}
    return isinstance(command, Scalar | Listing) and bool(meanings & _TELLING)


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    if not _is_entry(root):
        return Reading(read_servers("the file", root, notes, origin.habits))
    name = root.get("name") if isinstance(root, Table) else None
    called = name.text if isinstance(name, Scalar) and name.text.strip() else origin.path.stem.strip(".")
    draft = read_entry(called, root.place, root, notes, origin.habits)
    return Reading([draft] if draft else [])


FAMILY = Family("bare entries", _fits, _read)
