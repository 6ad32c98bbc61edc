"""What is decided, and what it may rest on."""

from __future__ import annotations

from typing import Final, NamedTuple

from garrison.catalog.access import Effect
from garrison.policy.vocabulary import ANNOTATIONS, Fact

NOTHING: Final[frozenset[Fact]] = frozenset()


class Decision(NamedTuple):
    """`rule` is the one that decided, in words.

    `depends`: on what it still depends, because that was not known; then it says what is possible, and whoever wants to
    act on it has to ask again. `unsteady`: it holds for this moment and this caller's circumstances only.
    """

    effect: Effect
    rule: str
    depends: bool = False
    unsteady: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether it allows calls alike as well, whatever their arguments, until rules or windows change."""
        return self.effect == "allow" and not self.depends and not self.unsteady

    @property
    def allowed(self) -> bool:
        """Is it allowed, or may it be: with other arguments, or when somebody approves?"""
        return self.effect != "deny"


class Circumstances(NamedTuple):
    """How a request comes: what its client calls itself, and the address that it comes from."""

    client: str = ""
    address: str = ""
    era: str = "legacy"


NOWHERE: Final = Circumstances()


class Hints(NamedTuple):
    """What a server says of its tool; MCP's defaults where it says nothing."""

    readOnlyHint: bool = ANNOTATIONS["readOnlyHint"]  # noqa: N815  MCP's names
    destructiveHint: bool = ANNOTATIONS["destructiveHint"]  # noqa: N815
    idempotentHint: bool = ANNOTATIONS["idempotentHint"]  # noqa: N815
    openWorldHint: bool = ANNOTATIONS["openWorldHint"]  # noqa: N815


def hints_of(annotations: object) -> Hints:
    """Of a tool's definition. What is no truth value says nothing."""
    if not isinstance(annotations, dict):
        return Hints()
    said = {name: annotations[name] for name in Hints._fields if isinstance(annotations.get(name), bool)}
    return Hints(**said)
