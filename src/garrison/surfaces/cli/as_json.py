"""Results as JSON, indented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


def render(value: Any, columns: Sequence[str]) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
