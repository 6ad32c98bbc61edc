"""THE list of file families, in the order in which a document is tried: the first that fits reads it."""

from __future__ import annotations

from typing import Final

from garrison.catalog.family import Family
from garrison.catalog.sources import (
    bare,
    bundle,
    garrison,
    goose,
    internal_external,
    mcp_servers,
    opencode,
    registry,
    servers,
    zed,
)

FAMILIES: Final[tuple[Family, ...]] = (
    garrison.FAMILY,
    zed.FAMILY,
    internal_external.FAMILY,
    bundle.FAMILY,
    mcp_servers.FAMILY,
    servers.FAMILY,
    opencode.FAMILY,
    goose.FAMILY,
    registry.FAMILY,
    bare.FAMILY,
)
