"""How many servers look like one: names carry the server's name, lists are joined, capabilities united. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

SEPARATOR = "__"
"""Between the server's name and the tool's: allowed in tool names everywhere (`.` is not, in several clients)."""


def join(server: str, name: str) -> str:
    """`git`, `status` → `git__status`."""
    return f"{server}{SEPARATOR}{name}"


def split(joined: str, servers: Iterable[str]) -> tuple[str, str] | None:
    """The server and the name there. Of several servers that fit (`a`, `a__b`) the longest is meant."""
    fitting = [server for server in servers if joined.startswith(server + SEPARATOR)]
    if not fitting:
        return None
    server = max(fitting, key=len)
    return server, joined[len(server) + len(SEPARATOR) :]


def capabilities(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the aggregate offers: each kind that any server offers, with list changes always announced."""
    offered = {kind for part in parts for kind in part}
    found: dict[str, Any] = {"tools": {"listChanged": True}}
    if "prompts" in offered:
        found["prompts"] = {"listChanged": True}
    if "resources" in offered:
        found["resources"] = {"listChanged": True}
    if "completions" in offered:
        found["completions"] = {}
    return found


def instructions(parts: Mapping[str, str]) -> str:
    """The servers' instructions, each under its server's name."""
    told = [f"## {server}\n{text.strip()}" for server, text in parts.items() if text.strip()]
    about = f"Tools and prompts are named SERVER{SEPARATOR}NAME."
    return "\n\n".join([about, *told])


def template_matches(template: str, uri: str) -> bool:
    """Whether `uri` can come from an RFC 6570 template: literals must fit, expressions stand for any text."""
    literals = re.split(r"\{[^{}]*\}", template)
    if len(literals) == 1:
        return template == uri
    if not uri.startswith(literals[0]):
        return False
    position = len(literals[0])
    for literal in literals[1:-1]:
        found = uri.find(literal, position)
        if found < 0:
            return False
        position = found + len(literal)
    return uri.endswith(literals[-1]) and len(uri) - len(literals[-1]) >= position
