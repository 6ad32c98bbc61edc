"""JSON Schemas of tool arguments and results, from msgspec types."""

from __future__ import annotations

from typing import Any

import msgspec

_PREFIX = "#/$defs/"


def object_schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a struct, with every reference written out: clients differ in how they read `$ref`.

    Recursive structs are not supported: a result that nests without bound has no place in a tool.
    """
    (root,), definitions = msgspec.json.schema_components((struct,), ref_template=_PREFIX + "{name}")
    schema: dict[str, Any] = _written_out(root, definitions)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _written_out(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_written_out(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        named = definitions[part["$ref"].removeprefix(_PREFIX)]
        return _written_out({**named, **{key: value for key, value in part.items() if key != "$ref"}}, definitions)
    return {key: _written_out(value, definitions) for key, value in part.items()}
