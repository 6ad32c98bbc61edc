"""How many servers look like one: capabilities and instructions are united, templates matched. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from garrison.catalog.shown_names import SEPARATOR, qualified
from garrison.protocol.methods import TASKS_EXTENSION
from garrison.protocol.versions import Era


def capabilities(parts: Iterable[Mapping[str, Any]], era: Era) -> dict[str, Any]:
    """What the aggregate offers: each kind that any server offers, with list changes always announced.

    Tasks are another thing in each era, and not translated: a client is offered those of its own.
    """
    parts = list(parts)
    offered = {kind for part in parts for kind in part}
    found: dict[str, Any] = {"tools": {"listChanged": True}}
    if "prompts" in offered:
        found["prompts"] = {"listChanged": True}
    if "resources" in offered:
        subscribe = any(_holds(part, "resources").get("subscribe") for part in parts)
        found["resources"] = {"listChanged": True, "subscribe": True} if subscribe else {"listChanged": True}
    found |= {kind: {} for kind in ("completions", "logging") if kind in offered}
    for kind in ("extensions", "experimental"):
        united = {name: value for part in reversed(parts) for name, value in _holds(part, kind).items()}
        if era == "legacy":
            united.pop(TASKS_EXTENSION, None)
        if united:
            found[kind] = united
    if era == "legacy" and "tasks" in offered:
        found["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    return found


def passed_on(offered: Mapping[str, Any], era: Era) -> dict[str, Any]:
    """What one server offers to clients that share a connection to it."""
    kinds = ("tools", "prompts", "resources", "completions", "logging", "tasks", "extensions", "experimental")
    found = {kind: offered[kind] for kind in kinds if isinstance(offered.get(kind), dict)}
    if era == "modern":
        found.pop("tasks", None)
    elif TASKS_EXTENSION in found.get("extensions", {}):
        found["extensions"] = {name: of for name, of in found["extensions"].items() if name != TASKS_EXTENSION}
    return found


def _holds(part: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """One capability's members; servers write what they like."""
    held = part.get(kind)
    return held if isinstance(held, dict) else {}


def instructions(parts: Mapping[str, str], starts: Mapping[str, str], about: str = "") -> str:
    """What the endpoint is for, if anything is said, and the servers' instructions, each under its server's name.

    `starts`: what each server's names begin with; where that is not the server's name, it is said.
    """
    own = {server: start for server, start in starts.items() if start != qualified(server, "")}
    told = [f"## {server}\n{text.strip()}" for server, text in parts.items() if text.strip()]
    naming = [f"Tools and prompts are named SERVER{SEPARATOR}NAME."] if len(own) < len(starts) or not starts else []
    naming += [
        f"Those of {server} begin with {start}." if start else f"Those of {server} are named as they are."
        for server, start in own.items()
    ]
    return "\n\n".join([*([about] if about else []), " ".join(naming), *told])


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
