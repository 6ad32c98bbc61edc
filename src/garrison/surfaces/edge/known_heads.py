"""Heads of requests that the parser and the guard have accepted before."""

from __future__ import annotations

from garrison.gateway.heads import Head
from garrison.protocol.transports import known_heads


class KnownHeads(known_heads.KnownHeads[Head]):
    """Shared by all connections of a listener."""
