"""The JSON Schema of garrison.yaml for editors, made from the types that the reader checks by."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from garrison.catalog.documents import GarrisonDocument

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def garrison_schema() -> dict[str, Any]:
    """JSON Schema 2020-12. Keys that begin with `x-` are free everywhere, as in the reader."""
    (root,), definitions = msgspec.json.schema_components([GarrisonDocument], ref_template="#/$defs/{name}")
    short = {name: name.removesuffix("Document") for name in definitions}
    parts: dict[str, Any] = {short[name]: _open(part) for name, part in definitions.items()}
    address = {"anyOf": [{"required": ["url"]}, {"required": ["urls"]}]}
    parts["Server"]["oneOf"] = [{"required": ["command"]}, address]
    schema = {"$schema": _DIALECT, "title": "garrison.yaml", **root, "$defs": parts}
    renamed: dict[str, Any] = _renamed(schema, {f"#/$defs/{name}": f"#/$defs/{new}" for name, new in short.items()})
    return renamed


def schema_text() -> str:
    """As it is written to a file."""
    return json.dumps(garrison_schema(), indent=2, ensure_ascii=False) + "\n"


def _open(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "title": part["title"].removesuffix("Document"), "patternProperties": {"^x-": {}}}


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names.get(inner, inner) if key == "$ref" else _renamed(inner, names) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return value
