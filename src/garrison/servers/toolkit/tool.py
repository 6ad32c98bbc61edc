"""A tool: a plain function whose signature is its schema.

Parameters become the input schema, the returned struct becomes the output schema, the docstring becomes the
description. A tool is `async def`, or `def` and then runs in a worker thread. It may take the `Call` as well.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio.to_thread
import mcp_types as types
import msgspec

from garrison.kernel.errors import Invalid
from garrison.servers.toolkit.call import Call
from garrison.servers.toolkit.schemas import object_schema

ToolFunction = Callable[..., Any]


def _hints(*, reads: bool, destroys: bool, repeatable: bool, leaves: bool) -> types.ToolAnnotations:
    return types.ToolAnnotations(
        read_only_hint=reads, destructive_hint=destroys, idempotent_hint=repeatable, open_world_hint=leaves
    )


READS = _hints(reads=True, destroys=False, repeatable=True, leaves=False)
"""Changes nothing, stays on this machine."""
ADDS = _hints(reads=False, destroys=False, repeatable=False, leaves=False)
"""Adds something; a second call adds again or fails."""
ENSURES = _hints(reads=False, destroys=False, repeatable=True, leaves=False)
"""Adds something; a second call changes nothing more."""
REPLACES = _hints(reads=False, destroys=True, repeatable=True, leaves=False)
"""Overwrites or removes; a second call with the same arguments changes nothing more."""
DESTROYS = _hints(reads=False, destroys=True, repeatable=False, leaves=False)
"""Overwrites or removes; a second call does something else or fails."""


@dataclass(frozen=True)
class Tool:
    definition: types.Tool
    function: ToolFunction
    arguments: type[msgspec.Struct]
    call_parameter: str | None

    async def run(self, arguments: dict[str, Any], call: Call) -> msgspec.Struct:
        """Check the arguments and do the work; `Invalid` when they do not fit the schema."""
        try:
            checked = msgspec.convert(arguments, self.arguments)
        except msgspec.ValidationError as error:
            raise Invalid("arguments.invalid", f"The arguments do not fit: {error}", "See the input schema.") from None
        given = {name: getattr(checked, name) for name in self.arguments.__struct_fields__}
        if self.call_parameter:
            given[self.call_parameter] = call
        if inspect.iscoroutinefunction(self.function):
            return typing.cast("msgspec.Struct", await self.function(**given))
        return await _in_thread(partial(self.function, **given), call)


async def _in_thread(work: Callable[[], msgspec.Struct], call: Call) -> msgspec.Struct:
    # The thread is left behind on cancellation, and ends itself at its next `check`.
    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    finally:
        call.cancel()


def declare(title: str, annotations: types.ToolAnnotations, function: ToolFunction) -> Tool:
    """Build the tool that `function` describes; its name is the function's."""
    name = function.__name__
    resolved = typing.get_type_hints(function, include_extras=True)
    result = resolved.pop("return")
    call_parameter = next((key for key, value in resolved.items() if value is Call), None)
    arguments = _arguments_struct(name, function, {key: value for key, value in resolved.items() if value is not Call})
    definition = types.Tool(
        name=name,
        title=title,
        description=inspect.getdoc(function),
        input_schema=object_schema(arguments),
        output_schema=object_schema(result),
        annotations=annotations,
    )
    return Tool(definition, function, arguments, call_parameter)


def _arguments_struct(name: str, function: ToolFunction, hints: dict[str, Any]) -> type[msgspec.Struct]:
    parameters = inspect.signature(function).parameters
    fields: list[Any] = []
    for key, annotation in hints.items():
        default = parameters[key].default
        fields.append((key, annotation) if default is inspect.Parameter.empty else (key, annotation, default))
    return msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True)
