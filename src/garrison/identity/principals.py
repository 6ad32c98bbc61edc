"""Principals: who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PrincipalKind = Literal["key", "local"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody known.

    id: never reused and kept through key rotation, so that sessions can be bound to it.
    kind: how we know: an API key, or the machine's own user at the command line.
    name: for people to read. roles: what it may do is what these grant, nothing else.
    """

    id: str
    kind: PrincipalKind
    name: str
    roles: tuple[str, ...] = ()
