"""What is worth saying about a draft whose values are known: each check is one function in the list at the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from garrison.catalog import plaintext
from garrison.catalog.credential_checks import secrets_in
from garrison.catalog.draft import Draft, Text
from garrison.catalog.launch import has_yes, program, really
from garrison.catalog.notes import Notes, brief
from garrison.catalog.packages import package_of, pinning_hint
from garrison.catalog.placeholders import is_placeholder
from garrison.catalog.references import literals

_WINDOWS_PATH = re.compile(r"(?:^|[=\s\"'])(?:[A-Za-z]:[\\/](?![\\/])|\\\\[\w.-]+\\)|\.exe$", re.IGNORECASE)


def check(draft: Draft, notes: Notes) -> None:
    """Every check; disabled servers too, since they may be switched on."""
    for one in CHECKS:
        one(draft, notes)


def _unpinned(draft: Draft, notes: Notes) -> None:
    command = really(draft)
    package = package_of([word.value for word in command])
    if package is None or package.pinned or is_placeholder(package.name):
        return
    name = re.sub(r"://[^/\s]*@|[?#].*", lambda match: "://…@" if match[0][0] == ":" else "", package.name)
    message = f"{brief(name)} has no fixed version: it can change from one start to the next"
    notes.warn("package.unpinned", message, pinning_hint(package), command[package.index].place)


def _npx_that_asks(draft: Draft, notes: Notes) -> None:
    command = really(draft)
    if program(command) == "npx" and not has_yes(command):
        hint = "write npx -y: without it npx asks before it installs, and nobody answers"
        notes.warn("package.no_yes", "npx without -y", hint, command[0].place)


def _container_without_input(draft: Draft, notes: Notes) -> None:
    words = [word.value for word in really(draft)]
    if program(really(draft)) in ("docker", "podman") and "run" in words:
        flags = [word for word in words if re.fullmatch(r"-[a-zA-Z]*i[a-zA-Z]*", word) or word == "--interactive"]
        if not flags:
            message = "the container gets no input: the server would end at once"
            notes.warn("command.no_input", message, "add -i after run", draft.command[0].place)


def _windows_path(draft: Draft, notes: Notes) -> None:
    for word in (*draft.command, *([draft.cwd] if draft.cwd else [])):
        if _WINDOWS_PATH.search(word.value) and "://" not in word.value:
            message = "a path of Windows; it does not exist on this machine"
            notes.warn("path.windows", message, "write the path that the file has here", word.place)
            return


def _placeholder(draft: Draft, notes: Notes) -> None:
    for where, text in values(draft):
        value = text.value.replace(draft.folder, "") if draft.folder else text.value
        if any(is_placeholder(value[start:end]) for start, end in literals(value)):
            hint = "put the real value in, or ${VARIABLE}"
            notes.warn("value.placeholder", f"{where} holds a placeholder, not a value", hint, text.place)


def _empty(draft: Draft, notes: Notes) -> None:
    for name, text in draft.env.items():
        if not text.value:
            hint = "give it a value, or remove it"
            notes.warn("value.empty", f"the variable {brief(name)} is empty", hint, text.place)
    for name, text in draft.headers.items():
        if not text.value.strip():
            notes.warn("value.empty", f"the header {brief(name)} is empty", "give it a value", text.place)


def _bad_names(draft: Draft, notes: Notes) -> None:
    """Names that no process and no request can carry."""
    for name, text in list(draft.env.items()):
        if not name or "=" in name or "\0" in name + text.value:
            notes.error("value.name", f"{brief(name)} cannot be a variable", "it is left out", text.place)
            del draft.env[name]
    for name, text in list(draft.headers.items()):
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or re.search(r"[\r\n\0]", text.value):
            notes.error("value.name", f"{brief(name)} cannot be a header", "it is left out", text.place)
            del draft.headers[name]
    if any("\0" in word.value for word in draft.command):
        notes.error("value.name", "the command holds a NUL character", "remove it", draft.place)
        draft.command = [word.with_value(word.value.replace("\0", "")) for word in draft.command]


def _addresses(draft: Draft, notes: Notes) -> None:
    for url in draft.addresses:
        if not _is_address(url.value):
            notes.error("url.invalid", "the url is not an http or https address", "write https://host/path", url.place)


def _is_address(url: str) -> bool:
    """Also what only a reference will tell."""
    if "$" in url.split("//", 1)[0]:
        return True
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.netloc)
    except ValueError:
        return False


def _same_address(draft: Draft, notes: Notes) -> None:
    seen: set[str] = set()
    for url in draft.addresses:
        if url.value in seen:
            message = "an address is given twice: its instance gets twice the calls, and is no help when it fails"
            notes.warn("url.repeated", message, "keep one of the two", url.place)
        seen.add(url.value)


def _written_out(draft: Draft, notes: Notes) -> None:
    for where, text, _key, spans in secrets(draft):
        if spans:
            message = f"{where} holds a secret in plain text"
            hint = "`garrison import` moves it into the secrets file; or write ${VARIABLE}"
            notes.warn("secret.plaintext", message, hint, text.place)


CHECKS: Final[tuple[Callable[[Draft, Notes], None], ...]] = (
    _bad_names,
    _addresses,
    _same_address,
    _unpinned,
    _npx_that_asks,
    _container_without_input,
    _windows_path,
    _placeholder,
    _empty,
    _written_out,
)


def values(draft: Draft) -> Iterator[tuple[str, Text]]:
    """Every value that may hold a reference, with the words for where it stands."""
    for position, word in enumerate(draft.command):
        yield ("the command" if position == 0 else "an argument"), word
    for url in draft.addresses:
        yield "the url", url
    for name, text in draft.env.items():
        yield f"the variable {brief(name)}", text
    for name, text in draft.headers.items():
        yield f"the header {brief(name)}", text
    for name, text in draft.auth_texts.items():
        yield f"auth.{name}", text
    if draft.cwd:
        yield "cwd", draft.cwd


def secrets(draft: Draft) -> Iterator[tuple[str, Text, str, list[plaintext.Span]]]:
    """Every value with a secret in it: where it is, the value, a key to name the secret by, the stretches."""
    before = ""
    for word in draft.command:
        key = plaintext.key_of_argument(word.value, before)
        yield "an argument", word, key, plaintext.in_argument(word.value, before)
        before = word.value
    for url in draft.addresses:
        yield "the url", url, "URL", plaintext.in_url(url.value)
    for name, text in draft.env.items():
        yield f"the variable {brief(name)}", text, name, plaintext.in_env(name, text.value)
    for name, text in draft.headers.items():
        yield f"the header {brief(name)}", text, name, plaintext.in_header(name, text.value)
    yield from secrets_in(draft.auth, draft.auth_texts)
