"""Drafts become specs; the secrets that stand in them in plain text are taken out on the way."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from garrison.catalog.checks import secrets
from garrison.catalog.credentials import AuthSpec
from garrison.catalog.draft import Draft, Text
from garrison.catalog.naming import secret_name
from garrison.catalog.plaintext import Span
from garrison.catalog.references import STORED_NAME, unescape
from garrison.catalog.spec import Offer, ServerSpec

_REFERENCE = re.compile(rf"\$\{{secret:({STORED_NAME})\}}", re.ASCII)
_DEFAULTS = ServerSpec(name="defaults", transport="stdio")


@dataclass(frozen=True, slots=True)
class Sealed:
    """Specs without secrets, and the secrets by the names that the specs refer to."""

    specs: dict[str, ServerSpec]
    secrets: dict[str, str] = field(repr=False)


def seal(drafts: Iterable[Draft]) -> Sealed:
    """Names of secrets are made from the names of server and value; each is used once."""
    drafts = list(drafts)
    taken = {name for draft in drafts for name in _referred(draft)}
    sealed = Sealed({}, {})
    for draft in drafts:
        replaced: dict[int, Text] = {}
        for _where, text, key, spans in secrets(draft):
            if spans:
                replaced[id(text)] = _without(draft.name, text, key, spans, taken, sealed.secrets)
        sealed.specs[draft.name] = _spec(draft, replaced)
    return sealed


def _referred(draft: Draft) -> list[str]:
    texts = [text.value for _where, text, _key, _spans in secrets(draft)]
    return [name for text in texts for name in _REFERENCE.findall(text)]


def _without(server: str, text: Text, key: str, spans: list[Span], taken: set[str], kept: dict[str, str]) -> Text:
    """The text with a reference in place of each secret."""
    pieces: list[str] = []
    end = 0
    for start, stop in spans:
        name = secret_name(server, key, taken)
        taken.add(name)
        kept[name] = unescape(text.value[start:stop])
        pieces += [text.value[end:start], f"${{secret:{name}}}"]
        end = stop
    return text.with_value("".join([*pieces, text.value[end:]]))


def _spec(draft: Draft, replaced: dict[int, Text]) -> ServerSpec:
    def value(text: Text | None) -> str:
        return replaced.get(id(text), text).value if text is not None else ""

    return ServerSpec(
        name=draft.name,
        transport=draft.kind or "stdio",
        command=tuple(value(word) for word in draft.command),
        url=value(draft.url),
        urls=tuple(value(url) for url in draft.urls),
        headers={name: value(text) for name, text in draft.headers.items()},
        auth=_auth(draft, replaced),
        allow_private=draft.allow_private,
        env={name: value(text) for name, text in draft.env.items()},
        cwd=value(draft.cwd),
        start=draft.start,
        enabled=draft.enabled,
        timeout_s=draft.timeout_s or _DEFAULTS.timeout_s,
        startup_timeout_s=draft.startup_timeout_s or _DEFAULTS.startup_timeout_s,
        tools=_tools(draft),
        prompts=draft.prompts,
        resources=draft.resources,
        prefix=draft.prefix,
        retry_idempotent=draft.retry_idempotent,
        instances=draft.instances,
        session=draft.session,
        sessions_max=draft.sessions_max,
        session_idle_s=draft.session_idle_s,
        warm=draft.warm,
        description=draft.description,
    )


def _auth(draft: Draft, replaced: dict[int, Text]) -> AuthSpec | None:
    if draft.auth is None:
        return None
    changed = {name: replaced.get(id(text), text).value for name, text in draft.auth_texts.items()}
    return msgspec.structs.replace(draft.auth, **changed)


def _tools(draft: Draft) -> Offer:
    shown = draft.shown_tools
    allow = draft.allow if draft.allow is not None else ("*",)
    return Offer(allow=allow, deny=draft.deny, rename=shown.rename, describe=shown.describe)
