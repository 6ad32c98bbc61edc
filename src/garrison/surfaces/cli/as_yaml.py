"""Results as YAML."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import msgspec
from ruamel.yaml import YAML


def render(value: Any, columns: Sequence[str]) -> str:
    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    writer.dump(msgspec.to_builtins(value), text)
    return text.getvalue()
