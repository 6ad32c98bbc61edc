"""Specs as the text of a garrison.yaml: short, in a fixed order, each value quoted where YAML needs it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from garrison.catalog.access import WhenSpec
from garrison.catalog.parse.tree import Plain
from garrison.catalog.spec import Filter, GrantSpec, Offer, ProfileSpec, RoleSpec, ServerSpec

_LINE_WIDTH: Final = 100
_PLAIN = re.compile(r"[A-Za-z_./$-][A-Za-z0-9_./@${}:+=~%-]*(?<!:)\Z", re.ASCII)
_PLAIN_IN_FLOW = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./@+=~%-]*\Z", re.ASCII)
_READ_OTHERWISE = re.compile(
    r"[-+.]?\d|[-+]?\.(?:inf|nan)\Z|---|\.\.\.|[-.]\Z|[~=]|(?:true|false|null|yes|no|on|off|y|n)\Z", re.IGNORECASE
)
_DEFAULTS: Final = ServerSpec(name="defaults", transport="stdio")


def quoted(text: str, *, flow: bool = False) -> str:
    """The text as a YAML scalar; plain where that reads back as the same text."""
    if (_PLAIN_IN_FLOW if flow else _PLAIN).match(text) and not _READ_OTHERWISE.match(text):
        return text
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable() and char != "\ufeff":
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def comment(text: str, indent: int = 0) -> str:
    return " " * indent + "# " + " ".join(text.split())


def server(spec: ServerSpec, cwd: str, remarks: Iterable[str]) -> Iterator[str]:
    """The lines of one server; `cwd` as it is to be written, empty for none."""
    yield f"  {quoted(spec.name)}:"
    for remark in remarks:
        yield comment(remark, 4)
    if spec.description:
        yield f"    description: {quoted(spec.description)}"
    if spec.url:
        yield f"    url: {quoted(spec.url)}"
        if spec.urls:
            yield from _list("urls", spec.urls, 4)
        if spec.transport != "http":
            yield f"    transport: {spec.transport}"
    else:
        yield from _list("command", spec.command, 4)
    yield from _map("headers", spec.headers)
    if spec.auth is not None:
        yield "    auth:"
        yield from tree(msgspec.json.decode(msgspec.json.encode(spec.auth)), 6)
    if spec.allow_private:
        yield "    allow_private: true"
    yield from _map("env", spec.env)
    if cwd:
        yield f"    cwd: {quoted(cwd)}"
    yield from _behaviour(spec)


def _behaviour(spec: ServerSpec) -> Iterator[str]:
    if spec.start != _DEFAULTS.start:
        yield f"    start: {spec.start}"
    if not spec.enabled:
        yield "    enabled: false"
    for key in ("timeout_s", "startup_timeout_s"):
        yield from _unless_default(spec, key)
    yield from _offer("tools", spec.tools, 4)
    yield from _offer("prompts", spec.prompts, 4)
    yield from _offer("resources", spec.resources, 4)
    if spec.prefix is not None:
        yield f"    prefix: {quoted(spec.prefix)}"
    if spec.retry_idempotent:
        yield "    retry_idempotent: true"
    for key in ("instances", "session", "sessions_max", "session_idle_s", "warm"):
        yield from _unless_default(spec, key)


def _unless_default(spec: ServerSpec, key: str) -> Iterator[str]:
    """Words and numbers, which YAML reads as they are."""
    value = getattr(spec, key)
    if value != getattr(_DEFAULTS, key):
        yield f"    {key}: {value}"


def _offer(key: str, offer: Filter, indent: int) -> Iterator[str]:
    """Nothing, where all is offered as it is."""
    if offer in (Filter(), Offer()):
        return
    yield " " * indent + f"{key}:"
    if offer.allow != ("*",):
        yield from _list("allow", offer.allow, indent + 2)
    if offer.deny:
        yield from _list("deny", offer.deny, indent + 2)
    if isinstance(offer, Offer):
        yield from _map("rename", offer.rename, indent + 2)
        yield from _map("describe", offer.describe, indent + 2)


def _list(key: str, items: Iterable[str], indent: int) -> Iterator[str]:
    """On one line if it fits."""
    line = " " * indent + f"{key}: [" + ", ".join(quoted(item, flow=True) for item in items) + "]"
    if len(line) <= _LINE_WIDTH:
        yield line
        return
    yield " " * indent + f"{key}:"
    for item in items:
        yield " " * indent + f"  - {quoted(item)}"


def _map(key: str, values: Mapping[str, str], indent: int = 4) -> Iterator[str]:
    if values:
        yield " " * indent + f"{key}:"
        for name, value in values.items():
            yield " " * indent + f"  {quoted(name)}: {quoted(value)}"


def role(spec: RoleSpec) -> Iterator[str]:
    yield f"  {quoted(spec.name)}:"
    if spec.description:
        yield f"    description: {quoted(spec.description)}"
    if spec.grants:
        yield "    grants:"
    for grant in spec.grants:
        lines = [line.strip() for line in _grant(grant)] or ["{}"]
        yield f"      - {lines[0]}"
        yield from (f"        {line}" for line in lines[1:])


def _grant(grant: GrantSpec) -> Iterator[str]:
    """Always on one line each, so that the dash can stand before the first."""
    for key, default in (("servers", ("*",)), ("tools", ()), ("prompts", ()), ("resources", ()), ("approves", ())):
        values = getattr(grant, key)
        if values != default:
            yield f"{key}: [" + ", ".join(quoted(value, flow=True) for value in values) + "]"
    if grant.effect != "allow":
        yield f"effect: {grant.effect}"
    if grant.when != WhenSpec():
        yield f"when: {_inline(msgspec.to_builtins(grant.when))}"


def profile(spec: ProfileSpec) -> Iterator[str]:
    yield f"  {quoted(spec.name)}:"
    if spec.description:
        yield f"    description: {quoted(spec.description)}"
    if spec.servers:
        yield "    servers:"
    for server, selection in spec.servers.items():
        kinds = (("tools", selection.tools), ("prompts", selection.prompts), ("resources", selection.resources))
        lines = [line for key, chosen in kinds for line in _offer(key, chosen, 8)]
        yield f"      {quoted(server)}:" + ("" if lines else " {}")
        yield from lines


def tree(value: Mapping[str, Plain], indent: int) -> Iterator[str]:
    """Settings, as they were given."""
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield " " * indent + f"{quoted(key)}:"
            yield from tree(inner, indent + 2)
        else:
            yield " " * indent + f"{quoted(key)}: {_inline(inner)}"


def _inline(value: Plain) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key, flow=True)}: {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(inner) for inner in value) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return quoted(value, flow=True) if isinstance(value, str) else repr(value)
