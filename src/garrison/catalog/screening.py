"""Screening: what is done about secrets and the like in what passes; the section `screening` of garrison.yaml."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Action = Literal["mask", "block", "warn", "off"]
Category = Literal["secrets", "pii", "ansi", "hidden_unicode", "links", "instructions"]
CATEGORIES: Final[tuple[Category, ...]] = ("secrets", "pii", "ansi", "hidden_unicode", "links", "instructions")
Pattern = Annotated[str, Meta(min_length=1, max_length=256)]
Bytes = Annotated[int, Meta(ge=0, le=2**40)]


class ScreeningRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Another treatment for some servers and tools; what it does not say stays as it is for all."""

    servers: Annotated[tuple[Pattern, ...], Meta(description="Names of servers; `*` and `?` as in filters.")] = ("*",)
    tools: Annotated[tuple[Pattern, ...], Meta(description="The servers' own names of tools, prompts, URIs.")] = ("*",)
    secrets: Action | None = None
    pii: Action | None = None
    ansi: Action | None = None
    hidden_unicode: Action | None = None
    links: Action | None = None
    instructions: Action | None = None
    inputs: Action | None = None
    result_bytes_max: Bytes | None = None


class Screening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`mask` takes it out, `block` refuses the whole, `warn` lets it pass; all are counted and recorded, but `off`."""

    secrets: Annotated[Action, Meta(description="Keys, tokens, passwords, private keys, connection strings.")] = "mask"
    pii: Annotated[Action, Meta(description="Addresses, phone and card numbers, IBANs, social security numbers.")] = (
        "off"
    )
    ansi: Annotated[Action, Meta(description="Terminal sequences and control characters.")] = "mask"
    hidden_unicode: Annotated[Action, Meta(description="Tags, zero width, overridden direction.")] = "mask"
    links: Annotated[Action, Meta(description="Links and images that carry data away in their address.")] = "warn"
    instructions: Annotated[Action, Meta(description="Text that gives the model orders.")] = "warn"
    inputs: Annotated[Action, Meta(description="What is done about secrets in the arguments of calls.")] = "off"
    result_bytes_max: Annotated[Bytes, Meta(description="Larger results are refused; 0: no bound of its own.")] = 0
    rules: Annotated[tuple[ScreeningRule, ...], Meta(description="Exceptions; the first that fits decides.")] = ()
