"""One server entry of a client's file becomes a draft, whatever words the client uses."""

from __future__ import annotations

import re

from garrison.catalog import coerce
from garrison.catalog.draft import Draft, Text
from garrison.catalog.entry_keys import EntryReading, Habits, read_key
from garrison.catalog.notes import Notes, Place
from garrison.catalog.parse.tree import Listing, Node, Scalar, Table
from garrison.catalog.spec import Transport
from garrison.catalog.vocabulary import COMMENT_MARKS, is_comment


def read_entry(name: str, place: Place, node: Node, notes: Notes, habits: Habits) -> Draft | None:
    """The draft, or None for a remark or for what cannot be a server (which is reported)."""
    if isinstance(node, Scalar):
        return _short_entry(name, place, node, notes.about(name))
    if isinstance(node, Listing):
        message = "a list where a server is described"
        notes.about(name).error("entry.type", message, "write {command: …} or {url: …}", node.place)
        return None
    reading = EntryReading(Draft(name, place), notes.about(name), habits)
    for entry in node:
        read_key(reading, entry)
    if name.startswith(COMMENT_MARKS) and reading.draft.enabled:
        hint = "rename it to switch it on"
        reading.notes.note("entry.commented_out", "the name marks it as a remark; it is kept, disabled", hint, place)
        reading.draft.enabled = False
    return _settled(reading, node)


def _short_entry(name: str, place: Place, node: Scalar, notes: Notes) -> Draft | None:
    """`name: URL` and remarks."""
    if isinstance(node.value, str) and node.value.startswith(("http://", "https://")):
        notes.note("entry.short", "only an address is given; it is taken as the url", "write {url: …}", node.place)
        return Draft(name, place, kind="http", url=Text(node.value, node.place))
    if not is_comment(name):
        message = f"{coerce.kind_of(node)} where a server is described"
        notes.warn("entry.not_a_server", message, "it is left out", node.place)
    return None


def _settled(reading: EntryReading, node: Table) -> Draft | None:
    """Decide between command and url; None (reported) if there is neither."""
    draft, notes = reading.draft, reading.notes
    if reading.odd_kind and not (draft.kind or draft.command or draft.url):
        notes.warn("entry.unsupported", "this kind of server lives inside its client", "it is left out", draft.place)
        return None
    if draft.command and draft.url:
        _choose(reading, draft.url)
    if draft.url is not None:
        if draft.kind == "stdio":
            hint = 'write type: "http", or give a command'
            notes.warn(
                "entry.kind", "the type says stdio, but there is only a url; it is taken as http", hint, draft.place
            )
            draft.kind = "http"
        draft.kind = draft.kind or _guessed_kind(draft.url, reading)
        _drop_idle(reading, "env", draft.env, "a url")
        return draft
    if draft.command:
        if draft.kind in ("http", "sse"):
            message = f"the type says {draft.kind}, but there is only a command; it is taken as stdio"
            notes.warn("entry.kind", message, 'write type: "stdio", or give a url', draft.place)
        draft.kind = "stdio"
        _drop_idle(reading, "headers", draft.headers, "a command")
        return draft
    _nothing_to_run(reading, node)
    return None


def _guessed_kind(url: Text, reading: EntryReading) -> Transport:
    """Without a type most clients try both ways; an address that ends in /sse leaves no doubt."""
    if re.search(r"/sse/?(?:[?#]|$)", url.value) and reading.habits.url_kind != "sse":
        hint = 'write type: "sse" to say so'
        reading.notes.note(
            "entry.kind_guessed", "no type is given; the url ends in /sse: it is taken as sse", hint, url.place
        )
        return "sse"
    return reading.habits.url_kind


def _drop_idle(reading: EntryReading, what: str, values: dict[str, Text], beside: str) -> None:
    if values:
        place = next(iter(values.values())).place
        reading.notes.warn("entry.idle_key", f"{what} means nothing beside {beside}; it is left out", "", place)
        values.clear()


def _choose(reading: EntryReading, url: Text) -> None:
    draft = reading.draft
    url_wins = draft.kind in ("http", "sse") or (draft.kind is None and reading.habits.url_wins)
    kept, dropped = ("url", "command") if url_wins else ("command", "url")
    message = f"both command and url are given; the {kept} is taken"
    reading.notes.warn("entry.two_ways", message, f"remove the {dropped}", url.place)
    if url_wins:
        draft.command, draft.args = [], []
    else:
        draft.url, draft.headers = None, {}


def _nothing_to_run(reading: EntryReading, node: Table) -> None:
    draft, notes = reading.draft, reading.notes
    place = reading.command_key or draft.place
    if draft.args:
        message = "there are args, but no command"
    elif reading.command_key:
        message = "the command is empty"
    elif not node.entries:
        message = "nothing is said about this server"
    else:
        message = "neither command nor url is given"
    hint = "write command: and args: for a program to run, or url: for a server to reach"
    if draft.enabled:
        notes.error("entry.nothing_to_run", message, hint, place)
    else:
        notes.warn("entry.nothing_to_run", message, hint, place)
