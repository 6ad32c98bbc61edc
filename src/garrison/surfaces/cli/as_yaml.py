"""Results as YAML."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import msgspec
from ruamel.yaml import YAML

from garrison.telemetry.printable import is_harmless


def render(value: Any, columns: Sequence[str]) -> str:
    plain = msgspec.to_builtins(value)
    text = _dumped(plain, as_written=True)
    return text if is_harmless(text) else _dumped(plain, as_written=False)


def _dumped(value: Any, *, as_written: bool) -> str:
    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = as_written
    writer.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    writer.dump(value, text)
    return text.getvalue()
