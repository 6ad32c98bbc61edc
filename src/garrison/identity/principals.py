"""Principals: who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PrincipalKind = Literal["key", "token", "certificate", "local"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody known.

    id: never reused and kept through key rotation, so that sessions can be bound to it; of a token, made of its issuer
    and subject. kind: how we know: an API key, a token of an issuer, a client certificate, or the machine's own user at
    the command line. name: for people to read. roles: what it may do is what these grant, nothing else.
    groups: what its issuer or its key says that it belongs to. scopes: what the token was issued for; None where
    nothing bounds it. issuer: who vouches for it; empty for ourselves.
    """

    id: str
    kind: PrincipalKind
    name: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    issuer: str = ""
