"""What is to be said about `auth:` of a server, and where its texts stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from garrison.catalog import plaintext
from garrison.catalog.credentials import AuthSpec, referring
from garrison.catalog.draft import Draft, Text
from garrison.catalog.notes import Notes, Place
from garrison.catalog.parse.tree import Node, Scalar, Table

_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "header": ("value",),
    "client_credentials": ("client_id",),
    "token_exchange": ("client_id",),
    "authorization_code": (),
}


def texts_of(node: Node | None, auth: AuthSpec | None) -> dict[str, Text]:
    """The same with their places."""
    if auth is None or not isinstance(node, Table):
        return {}
    return {name: Text(text, _place(node, name)) for name, text in referring(auth)}


def secrets_in(auth: AuthSpec | None, texts: dict[str, Text]) -> Iterator[tuple[str, Text, str, list[plaintext.Span]]]:
    """What stands there in plain text and should not: as `checks.secrets` has it."""
    for name, text in texts.items():
        if name == "client_secret":
            yield "auth.client_secret", text, "CLIENT_SECRET", plaintext.in_env("CLIENT_SECRET", text.value)
        elif name == "value" and auth is not None:
            yield "auth.value", text, auth.header, plaintext.in_header(auth.header, text.value)


def check_auth(auth: AuthSpec, draft: Draft, notes: Notes) -> bool:
    """Whether it can be used; says why not."""
    place = draft.place
    if not draft.url:
        hint = "give the program its credential under env"
        notes.error("auth.no_url", "auth only means something for a url", hint, place)
        return False
    missing = [name for name in _NEEDED[auth.kind] if not getattr(auth, name)]
    if auth.kind in ("client_credentials", "token_exchange") and not (auth.issuer or auth.token_url):
        missing.append("issuer")
    if auth.kind == "token_exchange" and not (auth.audience or auth.resource):
        missing.append("audience")
    if auth.kind == "authorization_code" and draft.urls:
        notes.error("auth.several_urls", "people sign in at one address", "write one url", place)
        return False
    if missing:
        message = f"auth of kind {auth.kind} needs {' and '.join(missing)}"
        notes.error("auth.incomplete", message, "see docs/credentials.md", place)
    if auth.client_secret and not (auth.issuer or auth.token_url):
        message = "a client secret is only sent to an issuer that is written here"
        notes.error("auth.no_issuer", message, "write issuer: https://…", place)
        return False
    return not missing


def _place(table: Table, key: str) -> Place:
    node = table.get(key)
    return node.place if isinstance(node, Scalar) else table.place
