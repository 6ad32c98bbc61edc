"""Results as JSON, indented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from garrison.telemetry.printable import in_json


def render(value: Any, columns: Sequence[str]) -> str:
    return in_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
