"""Protocol revisions and the two eras that they fall into.

Source: modelcontextprotocol.io/specification, revisions 2024-11-05 to 2026-07-28.
"""

from __future__ import annotations

from typing import Literal

Era = Literal["legacy", "modern"]

LEGACY_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS = ("2026-07-28",)
LATEST_LEGACY = LEGACY_VERSIONS[-1]
LATEST_MODERN = MODERN_VERSIONS[-1]

DEFAULT_HTTP_VERSION = "2025-03-26"
"""What a legacy request over HTTP means when it has no `MCP-Protocol-Version` header (2025-06-18, transports)."""


def negotiate(requested: str) -> str:
    """The legacy revision to answer an `initialize` with: the requested one if we speak it, else our newest."""
    return requested if requested in LEGACY_VERSIONS else LATEST_LEGACY
