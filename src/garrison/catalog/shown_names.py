"""Which names things have where several servers are shown as one. Pure; the gateway and the checks go by it.

Names that begin with a server's name and two underscores are that server's: nobody else's things are shown under them.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, Literal

from garrison.catalog.spec import Offer, ServerSpec

SEPARATOR: Final = "__"
"""Between the server's name and the tool's: allowed in tool names everywhere (`.` is not, in several clients)."""

Named = Literal["tool", "prompt"]
"""What is known by a name, and not by a URI."""
Listed = Literal["tool", "prompt", "resource"]


def qualified(server: str, name: str) -> str:
    """`git`, `status` → `git__status`: the name that a thing has when nothing else is said."""
    return f"{server}{SEPARATOR}{name}"


def start_of(spec: ServerSpec) -> str:
    """What the names of this server's things begin with."""
    prefix = spec.name if spec.prefix is None else spec.prefix
    return f"{prefix}{SEPARATOR}" if prefix else ""


def offer_of(spec: ServerSpec, kind: Named) -> Offer:
    return spec.tools if kind == "tool" else spec.prompts


def preferred(spec: ServerSpec, kind: Named, name: str) -> str:
    """What a thing is called by configuration, if nothing speaks against it."""
    return start_of(spec) + offer_of(spec, kind).rename.get(name, name)


def owner(shown: str, servers: Container[str]) -> str | None:
    """The server whose name this begins with, the longest of several that fit (`a`, `a__b`); None for none."""
    end = shown.rfind(SEPARATOR)
    while end > 0:
        if shown[:end] in servers:
            return shown[:end]
        end = shown.rfind(SEPARATOR, 0, end + 1)
    return None
