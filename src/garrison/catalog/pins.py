"""Pins: what a server offers, as it was approved, and how what it offers now differs from that. Pure.

A pin is the SHA-256 of a definition's canonical form (`catalog.canonical`), of all of it: title, description, schemas,
annotations, icons, `_meta`, and members that nobody has heard of yet. A server's instructions are pinned like a
definition, and so is where it comes from: command, arguments, names of variables, address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any, Final, Literal, get_args

import msgspec

from garrison.catalog.canonical import digest
from garrison.catalog.spec import ServerSpec
from garrison.telemetry.printable import lines, one_line

Kind = Literal["tool", "prompt", "resource", "template", "instructions"]
FirstUse = Literal["trust", "approve"]
Mode = Literal["off", "warn", "enforce"]
Why = Literal["", "changed", "new", "suspicious"]
"""Why something is held; empty if it is not."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
INSTRUCTIONS: Final = "instructions"
TEXT_CHARS_MAX: Final = 100
_DIFF_LINES_MAX: Final = 400
_DIFF_LINE_CHARS_MAX: Final = 2000


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`text`: how the definition begins to describe itself, for whoever reads the file."""

    sha256: str
    text: str = ""


class ServerPins(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one server was approved to offer, by kind and name. `approved`: by somebody, so that what is new is held."""

    source: str = ""
    approved: bool = False
    instructions: dict[str, Pin] = {}
    tools: dict[str, Pin] = {}
    prompts: dict[str, Pin] = {}
    resources: dict[str, Pin] = {}
    templates: dict[str, Pin] = {}

    def of(self, kind: Kind) -> dict[str, Pin]:
        found: dict[str, Pin] = getattr(self, MEMBER[kind])
        return found

    def with_pin(self, kind: Kind, name: str, pin: Pin | None) -> ServerPins:
        """With another pin, or without."""
        kept = {one: known for one, known in self.of(kind).items() if one != name}
        return msgspec.structs.replace(self, **{MEMBER[kind]: kept if pin is None else {**kept, name: pin}})


MEMBER: Final[Mapping[Kind, str]] = {
    "tool": "tools",
    "prompt": "prompts",
    "resource": "resources",
    "template": "templates",
    "instructions": "instructions",
}


class Proposal(msgspec.Struct, frozen=True):
    """A definition that is held. `before`: the hash that is pinned; empty if none is. Times: wall time in ns."""

    kind: Kind
    name: str
    why: Why
    before: str
    after: str
    text: str
    first_seen_ns: int
    seen_ns: int
    findings: tuple[str, ...] = ()


def source_of(spec: ServerSpec) -> str:
    """The hash of where a server comes from. Values of variables and headers are no part of it: they may be secrets."""
    content = {
        "transport": spec.transport,
        "command": list(spec.command),
        "cwd": spec.cwd,
        "url": spec.url,
        "urls": list(spec.urls),
        "environment": sorted(spec.env),
        "headers": sorted(name.lower() for name in spec.headers),
    }
    return digest(content)


def held_because(pins: ServerPins | None, kind: Kind, name: str, sha256: str, first_use: FirstUse) -> Why:
    """What is pinned must be as it was. What is not is new: trusted, unless the setting or an approval says no."""
    pin = pins.of(kind).get(name) if pins is not None else None
    if pin is not None:
        return "" if pin.sha256 == sha256 else "changed"
    is_first_use = pins is None or not pins.approved
    return "" if is_first_use and first_use == "trust" else "new"


def short_text(content: Mapping[str, Any]) -> str:
    """How a definition begins to describe itself, in one harmless line."""
    told = next((content[key] for key in ("description", "title", "text") if isinstance(content.get(key), str)), "")
    first = next((line.strip() for line in told.splitlines() if line.strip()), "")
    return one_line(first[: TEXT_CHARS_MAX - 1] + "…" if len(first) > TEXT_CHARS_MAX else first)


def pin_of(content: Mapping[str, Any]) -> Pin:
    return Pin(digest(content), short_text(content))


def diff_text(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """What differs, field by field, as a unified diff; what cannot be seen is made visible."""
    old, new = dict(_fields(before)), dict(_fields(after))
    told: list[str] = []
    for field in sorted({*old, *new}, key=lambda one: (_ORDER.get(one.partition("/")[0], 9), one)):
        if old.get(field) != new.get(field):
            told += [f"  {one_line(field)}", *_hunk(old.get(field), new.get(field))]
    if len(told) > _DIFF_LINES_MAX:
        told = [*told[:_DIFF_LINES_MAX], f"  … and {len(told) - _DIFF_LINES_MAX} more lines"]
    return "\n".join(line[:_DIFF_LINE_CHARS_MAX] for line in told)


_ORDER: Final = {"name": 0, "title": 1, "description": 2, "annotations": 3, "inputSchema": 4, "outputSchema": 5}


def _hunk(old: str | None, new: str | None) -> list[str]:
    before, after = ([] if text is None else lines(text).split("\n") for text in (old, new))
    return [f"    {line}" for line in list(unified_diff(before, after, n=1, lineterm=""))[2:] if line[:2] != "@@"]


def _fields(content: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value by its JSON pointer, without the first slash; texts as they are."""
    if isinstance(content, Mapping) and content:
        for name, one in content.items():
            yield from _fields(one, f"{path}/{name}" if path else str(name))
    elif isinstance(content, list) and content and any(isinstance(one, dict | list) for one in content):
        for number, one in enumerate(content):
            yield from _fields(one, f"{path}/{number}")
    elif content is not None or path:
        yield path, content if isinstance(content, str) else msgspec.json.encode(content).decode()
