"""What each key of a server entry does to its draft: one small reader for each meaning, in one table at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from garrison.catalog import coerce
from garrison.catalog.draft import Draft, Text
from garrison.catalog.notes import Notes, Place, brief, did_you_mean
from garrison.catalog.parse.tree import Entry, Listing, Scalar, Table
from garrison.catalog.spec import Transport
from garrison.catalog.vocabulary import KINDS, MEANINGS, SPELLINGS, Meaning, is_comment, squeeze


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
class EntryReading:
    draft: Draft
    notes: Notes
    habits: Habits
    odd_kind: str = ""
    command_key: Place | None = None


def read_key(reading: EntryReading, entry: Entry) -> None:
    meaning = MEANINGS.get(squeeze(entry.key)) or MEANINGS.get(entry.key)
    if meaning is not None:
        _READERS[meaning](reading, entry)
    elif not is_comment(entry.key):
        hint = did_you_mean(entry.key, SPELLINGS) or "it is ignored"
        reading.notes.warn("entry.unknown_key", f"unknown key {brief(entry.key)}", hint, entry.place)


# ── what runs ──


def _command(reading: EntryReading, entry: Entry) -> None:
    node, draft = entry.value, reading.draft
    reading.command_key = entry.place
    if isinstance(node, Table):  # Zed: {path, args, env}
        for inner in node:
            read_key(reading, replace(inner, key="command") if inner.key == "path" else inner)
    elif isinstance(node, Listing):
        draft.command = coerce.texts(entry.key, node, reading.notes)
    elif (value := coerce.text(entry.key, node, reading.notes)) and value.value.strip():
        draft.command = [value.with_value(value.value.strip())]


def _args(reading: EntryReading, entry: Entry) -> None:
    reading.draft.args = coerce.texts(entry.key, entry.value, reading.notes)


def _env(reading: EntryReading, entry: Entry) -> None:
    reading.draft.env |= coerce.text_map(entry.key, entry.value, reading.notes)


def _env_names(reading: EntryReading, entry: Entry) -> None:
    if isinstance(entry.value, Table):
        _env(reading, entry)
        return
    for name in coerce.texts(entry.key, entry.value, reading.notes):
        reading.draft.env.setdefault(name.value, Text("${" + name.value + "}", name.place))


def _cwd(reading: EntryReading, entry: Entry) -> None:
    value = coerce.text(entry.key, entry.value, reading.notes)
    reading.draft.cwd = value if value and value.value.strip() else None


# ── what is reached ──


def _url(reading: EntryReading, entry: Entry, kind: Transport | None = None) -> None:
    value = coerce.text(entry.key, entry.value, reading.notes)
    if value and value.value.strip():
        reading.draft.url = value.with_value(value.value.strip())
        reading.draft.kind = kind or reading.draft.kind


def _kind(reading: EntryReading, entry: Entry) -> None:
    if isinstance(entry.value, Table):  # {transport: {type, url, …}}
        for inner in entry.value:
            read_key(reading, inner)
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


def _headers(reading: EntryReading, entry: Entry) -> None:
    reading.draft.headers |= coerce.text_map(entry.key, entry.value, reading.notes)


def _header_variables(reading: EntryReading, entry: Entry) -> None:
    for header, name in coerce.text_map(entry.key, entry.value, reading.notes).items():
        reading.draft.headers[header] = name.with_value("${" + name.value + "}")


def _bearer_variable(reading: EntryReading, entry: Entry) -> None:
    if name := coerce.text(entry.key, entry.value, reading.notes):
        reading.draft.headers["Authorization"] = name.with_value("Bearer ${" + name.value + "}")


def _request(reading: EntryReading, entry: Entry) -> None:
    if isinstance(entry.value, Table) and (headers := entry.value.get("headers")) is not None:
        _headers(reading, replace(entry, key="headers", value=headers))


def _auth(reading: EntryReading, entry: Entry) -> None:
    """`{type: bearer, token}` is a header; anything else is a login."""
    token = entry.value.get("token") if isinstance(entry.value, Table) else None
    if isinstance(token, Scalar) and isinstance(token.value, str):
        reading.draft.headers.setdefault("Authorization", Text(f"Bearer {token.value}", token.place))
    else:
        _oauth(reading, entry)


# ── how it behaves ──


def _enabled(reading: EntryReading, entry: Entry) -> None:
    value = coerce.truth(entry.key, entry.value, reading.notes)
    reading.draft.enabled = reading.draft.enabled and value is not False


def _disabled(reading: EntryReading, entry: Entry) -> None:
    value = coerce.truth(entry.key, entry.value, reading.notes)
    reading.draft.enabled = reading.draft.enabled and value is not True


def _auto_start(reading: EntryReading, entry: Entry) -> None:
    if coerce.truth(entry.key, entry.value, reading.notes) is False:
        reading.draft.start = "lazy"


def _timeout(unit: str | None, *, startup: bool = False) -> Callable[[EntryReading, Entry], None]:
    def read(reading: EntryReading, entry: Entry) -> None:
        if isinstance(entry.value, Table):  # {startup: …, execution: …}
            return
        span = coerce.seconds(entry.key, entry.value, unit or reading.habits.timeout_unit, reading.notes)
        if span is not None and startup:
            reading.draft.startup_timeout_s = span
        elif span is not None:
            reading.draft.timeout_s = span

    return read


def _allow(reading: EntryReading, entry: Entry) -> None:
    if isinstance(entry.value, Table):
        return  # settings for each tool, not a choice of tools
    if isinstance(entry.value, Listing) and any(not isinstance(item, Scalar) for item in entry.value.items):
        return  # descriptions of tools
    names = coerce.patterns(entry.key, entry.value, reading.notes)
    if names:
        reading.draft.allow = names


def _deny(reading: EntryReading, entry: Entry) -> None:
    reading.draft.deny += coerce.patterns(entry.key, entry.value, reading.notes)


def _description(reading: EntryReading, entry: Entry) -> None:
    if value := coerce.text(entry.key, entry.value, reading.notes):
        reading.draft.description = " ".join(value.value.split())


# ── what we do not do ──


def _unsupported(message: str, hint: str) -> Callable[[EntryReading, Entry], None]:
    def read(reading: EntryReading, entry: Entry) -> None:
        if not (isinstance(entry.value, Scalar) and entry.value.value in (None, False, "")):
            reading.notes.warn("entry.unsupported", f"{brief(entry.key)} {message}", hint, entry.place)

    return read


_oauth = _unsupported(
    "asks for a login by OAuth, which is not supported yet", "give a token: headers: {Authorization: Bearer ${TOKEN}}"
)


def _approval(reading: EntryReading, entry: Entry) -> None:
    value = entry.value
    if isinstance(value, Scalar) and not value.value:
        return
    if isinstance(value, Listing) and not value.items:
        return
    message = f"{brief(entry.key)} is about the client's own questions; it is not taken over"
    reading.notes.note("entry.approval", message, "roles and grants decide which tools may be called", entry.place)


def _silent(reading: EntryReading, entry: Entry) -> None:
    """Nothing to take over."""


def _link(reading: EntryReading, entry: Entry) -> None:
    reading.notes.warn("entry.link", f"{brief(entry.key)} leads to a page for people", "it is ignored", entry.place)


_READERS: dict[Meaning, Callable[[EntryReading, Entry], None]] = {
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
