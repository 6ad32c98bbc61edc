"""One server entry of a client's file becomes a draft, whatever words the client uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from garrison.catalog import coerce
from garrison.catalog.draft import Draft, Text
from garrison.catalog.notes import Notes, Place, brief, did_you_mean
from garrison.catalog.parse.tree import Entry, Listing, Node, Scalar, Table
from garrison.catalog.spec import Transport
from garrison.catalog.vocabulary import COMMENT_MARKS, KINDS, MEANINGS, SPELLINGS, Meaning, is_comment, squeeze


@dataclass(frozen=True, slots=True)
class Habits:
    """In what clients that share the words differ."""

    client: str
    url_kind: Transport = "http"
    """What a `url` without a type means."""
    timeout_unit: Literal["s", "ms", "guess"] = "guess"
    url_wins: bool = False
    """Of `command` and `url` in one entry."""


@dataclass(slots=True)
class _Reading:
    draft: Draft
    notes: Notes
    habits: Habits
    odd_kind: str = ""
    command_key: Place | None = None


def read_entry(name: str, place: Place, node: Node, notes: Notes, habits: Habits) -> Draft | None:
    """The draft, or None for a remark or for what cannot be a server (which is reported)."""
    if isinstance(node, Scalar):
        return _short_entry(name, place, node, notes.about(name))
    if isinstance(node, Listing):
        message = "a list where a server is described"
        notes.about(name).error("entry.type", message, "write {command: …} or {url: …}", node.place)
        return None
    reading = _Reading(Draft(name, place), notes.about(name), habits)
    for entry in node:
        _read_key(reading, entry)
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


def _read_key(reading: _Reading, entry: Entry) -> None:
    meaning = MEANINGS.get(squeeze(entry.key)) or MEANINGS.get(entry.key)
    if meaning is not None:
        _READERS[meaning](reading, entry)
    elif not is_comment(entry.key):
        hint = did_you_mean(entry.key, SPELLINGS) or "it is ignored"
        reading.notes.warn("entry.unknown_key", f"unknown key {brief(entry.key)}", hint, entry.place)


# ── what runs ──


def _command(reading: _Reading, entry: Entry) -> None:
    node, draft = entry.value, reading.draft
    reading.command_key = entry.place
    if isinstance(node, Table):  # Zed: {path, args, env}
        for inner in node:
            _read_key(reading, replace(inner, key="command") if inner.key == "path" else inner)
    elif isinstance(node, Listing):
        draft.command = coerce.texts(entry.key, node, reading.notes)
    elif (value := coerce.text(entry.key, node, reading.notes)) and value.value.strip():
        draft.command = [value.with_value(value.value.strip())]


def _args(reading: _Reading, entry: Entry) -> None:
    reading.draft.args = coerce.texts(entry.key, entry.value, reading.notes)


def _env(reading: _Reading, entry: Entry) -> None:
    reading.draft.env |= coerce.text_map(entry.key, entry.value, reading.notes)


def _env_names(reading: _Reading, entry: Entry) -> None:
    if isinstance(entry.value, Table):
        _env(reading, entry)
        return
    for name in coerce.texts(entry.key, entry.value, reading.notes):
        reading.draft.env.setdefault(name.value, Text("${" + name.value + "}", name.place))


def _cwd(reading: _Reading, entry: Entry) -> None:
    value = coerce.text(entry.key, entry.value, reading.notes)
    reading.draft.cwd = value if value and value.value.strip() else None


# ── what is reached ──


def _url(reading: _Reading, entry: Entry, kind: Transport | None = None) -> None:
    value = coerce.text(entry.key, entry.value, reading.notes)
    if value and value.value.strip():
        reading.draft.url = value.with_value(value.value.strip())
        reading.draft.kind = kind or reading.draft.kind


def _kind(reading: _Reading, entry: Entry) -> None:
    if isinstance(entry.value, Table):  # {transport: {type, url, …}}
        for inner in entry.value:
            _read_key(reading, inner)
        return
    value = coerce.text(entry.key, entry.value, reading.notes)
    if value is None:
        return
    kind = KINDS.get(squeeze(value.value.strip()))
    if kind is None:
        reading.odd_kind = squeeze(value.value.strip()) or "nothing"
        hint = did_you_mean(value.value, ("stdio", "http", "sse")) or "Garrison speaks stdio, http and sse"
        reading.notes.warn("entry.kind", f"{brief(entry.key)} {brief(value.value)} is not known", hint, value.place)
    elif squeeze(value.value) not in ("remote", "url"):  # these two leave open which
        reading.draft.kind = kind


def _headers(reading: _Reading, entry: Entry) -> None:
    reading.draft.headers |= coerce.text_map(entry.key, entry.value, reading.notes)


def _header_variables(reading: _Reading, entry: Entry) -> None:
    for header, name in coerce.text_map(entry.key, entry.value, reading.notes).items():
        reading.draft.headers[header] = name.with_value("${" + name.value + "}")


def _bearer_variable(reading: _Reading, entry: Entry) -> None:
    if name := coerce.text(entry.key, entry.value, reading.notes):
        reading.draft.headers["Authorization"] = name.with_value("Bearer ${" + name.value + "}")


def _request(reading: _Reading, entry: Entry) -> None:
    if isinstance(entry.value, Table) and (headers := entry.value.get("headers")) is not None:
        _headers(reading, replace(entry, key="headers", value=headers))


def _auth(reading: _Reading, entry: Entry) -> None:
    """`{type: bearer, token}` is a header; anything else is a login."""
    token = entry.value.get("token") if isinstance(entry.value, Table) else None
    if isinstance(token, Scalar) and isinstance(token.value, str):
        reading.draft.headers.setdefault("Authorization", Text(f"Bearer {token.value}", token.place))
    else:
        _oauth(reading, entry)


# ── how it behaves ──


def _enabled(reading: _Reading, entry: Entry) -> None:
    value = coerce.truth(entry.key, entry.value, reading.notes)
    reading.draft.enabled = reading.draft.enabled and value is not False


def _disabled(reading: _Reading, entry: Entry) -> None:
    value = coerce.truth(entry.key, entry.value, reading.notes)
    reading.draft.enabled = reading.draft.enabled and value is not True


def _auto_start(reading: _Reading, entry: Entry) -> None:
    if coerce.truth(entry.key, entry.value, reading.notes) is False:
        reading.draft.start = "lazy"


def _timeout(unit: str | None, *, startup: bool = False) -> Callable[[_Reading, Entry], None]:
    def read(reading: _Reading, entry: Entry) -> None:
        if isinstance(entry.value, Table):  # {startup: …, execution: …}
            return
        span = coerce.seconds(entry.key, entry.value, unit or reading.habits.timeout_unit, reading.notes)
        if span is not None and startup:
            reading.draft.startup_timeout_s = span
        elif span is not None:
            reading.draft.timeout_s = span

    return read


def _allow(reading: _Reading, entry: Entry) -> None:
    if isinstance(entry.value, Table):
        return  # settings for each tool, not a choice of tools
    if isinstance(entry.value, Listing) and any(not isinstance(item, Scalar) for item in entry.value.items):
        return  # descriptions of tools
    names = coerce.patterns(entry.key, entry.value, reading.notes)
    if names:
        reading.draft.allow = names


def _deny(reading: _Reading, entry: Entry) -> None:
    reading.draft.deny += coerce.patterns(entry.key, entry.value, reading.notes)


def _description(reading: _Reading, entry: Entry) -> None:
    if value := coerce.text(entry.key, entry.value, reading.notes):
        reading.draft.description = " ".join(value.value.split())


# ── what we do not do ──


def _unsupported(message: str, hint: str) -> Callable[[_Reading, Entry], None]:
    def read(reading: _Reading, entry: Entry) -> None:
        if not (isinstance(entry.value, Scalar) and entry.value.value in (None, False, "")):
            reading.notes.warn("entry.unsupported", f"{brief(entry.key)} {message}", hint, entry.place)

    return read


_oauth = _unsupported(
    "asks for a login by OAuth, which is not supported yet", "give a token: headers: {Authorization: Bearer ${TOKEN}}"
)


def _approval(reading: _Reading, entry: Entry) -> None:
    value = entry.value
    if isinstance(value, Scalar) and not value.value:
        return
    if isinstance(value, Listing) and not value.items:
        return
    message = f"{brief(entry.key)} is about the client's own questions; it is not taken over"
    reading.notes.note("entry.approval", message, "roles and grants decide which tools may be called", entry.place)


def _silent(reading: _Reading, entry: Entry) -> None:
    """Nothing to take over."""


def _link(reading: _Reading, entry: Entry) -> None:
    reading.notes.warn("entry.link", f"{brief(entry.key)} leads to a page for people", "it is ignored", entry.place)


_READERS: dict[Meaning, Callable[[_Reading, Entry], None]] = {
    Meaning.COMMAND: _command,
    Meaning.ARGS: _args,
    Meaning.ENV: _env,
    Meaning.ENV_NAMES: _env_names,
    Meaning.URL: _url,
    Meaning.URL_HTTP: lambda reading, entry: _url(reading, entry, "http"),
    Meaning.URL_SSE: lambda reading, entry: _url(reading, entry, "sse"),
    Meaning.KIND: _kind,
    Meaning.HEADERS: _headers,
    Meaning.HEADER_VARIABLES: _header_variables,
    Meaning.BEARER_VARIABLE: _bearer_variable,
    Meaning.REQUEST: _request,
    Meaning.AUTH: _auth,
    Meaning.CWD: _cwd,
    Meaning.ENABLED: _enabled,
    Meaning.DISABLED: _disabled,
    Meaning.AUTO_START: _auto_start,
    Meaning.TIMEOUT: _timeout(None),
    Meaning.TIMEOUT_S: _timeout("s"),
    Meaning.TIMEOUT_MS: _timeout("ms"),
    Meaning.STARTUP: _timeout(None, startup=True),
    Meaning.STARTUP_S: _timeout("s", startup=True),
    Meaning.STARTUP_MS: _timeout("ms", startup=True),
    Meaning.ALLOW: _allow,
    Meaning.DENY: _deny,
    Meaning.DESCRIPTION: _description,
    Meaning.LINK: _link,
    Meaning.ENV_FILE: _unsupported(
        "is not read yet", "put the variables into env:, or export them before starting Garrison"
    ),
    Meaning.HEADERS_HELPER: _unsupported(
        "runs a program for the headers, which is not supported yet", "give the headers: {NAME: ${VARIABLE}}"
    ),
    Meaning.OAUTH: _oauth,
    Meaning.APPROVAL: _approval,
    Meaning.SILENT: _silent,
}


# ── the whole ──


def _settled(reading: _Reading, node: Table) -> Draft | None:
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
        draft.kind = draft.kind or reading.habits.url_kind
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


def _drop_idle(reading: _Reading, what: str, values: dict[str, Text], beside: str) -> None:
    if values:
        place = next(iter(values.values())).place
        reading.notes.warn("entry.idle_key", f"{what} means nothing beside {beside}; it is left out", "", place)
        values.clear()


def _choose(reading: _Reading, url: Text) -> None:
    draft = reading.draft
    url_wins = draft.kind in ("http", "sse") or (draft.kind is None and reading.habits.url_wins)
    kept, dropped = ("url", "command") if url_wins else ("command", "url")
    message = f"both command and url are given; the {kept} is taken"
    reading.notes.warn("entry.two_ways", message, f"remove the {dropped}", url.place)
    if url_wins:
        draft.command, draft.args = [], []
    else:
        draft.url, draft.headers = None, {}


def _nothing_to_run(reading: _Reading, node: Table) -> None:
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
