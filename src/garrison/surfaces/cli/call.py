"""`garrison call`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from mcp_types import CallToolResult, Tool

from garrison.kernel.errors import Invalid, NotFound
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.gateway_client import all_tools, connected
from garrison.surfaces.cli.node_client import NodeClient, client_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, pass_on, show

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("call")
def call(
    tool: Annotated[str, typer.Argument(metavar="SERVER__TOOL", help="As the gateway lists it.", show_default=False)],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JSON | KEY=VALUE …]", help="One JSON object, or one word for each argument."),
    ] = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="Another key than the administrator's.")
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="For the whole call.")] = 60.0,
    output: OutputOption = Form.TABLE,
) -> None:
    """Call a tool through the gateway, as any MCP client would: authenticated, audited and limited.

    A value is read as its type in the tool's schema; KEY:=JSON gives JSON as it is. Exits with 1 when the tool
    answers with an error.

    Examples: garrison call time__get_current_time; garrison call filesystem__search_text pattern=TODO;
    garrison call t__x '{"n": 1}'
    """
    node = client_of(home_of(home, env_name))
    key = _read(key_file) if key_file else node.key
    result = asyncio.run(_call(node, key, tool, arguments or [], timeout_s))
    _tell(result, output)
    raise typer.Exit(exits.FOUND if result.is_error else exits.OK)


async def _call(node: NodeClient, key: str, name: str, words: Sequence[str], timeout_s: float) -> CallToolResult:
    async with connected(f"{node.note.url}/mcp", key, timeout_s, node.tls()) as client:
        tool = next((one for one in await all_tools(client) if one.name == name), None)
        if tool is None:
            hint = "`garrison status` shows the servers; names are SERVER__TOOL"
            raise NotFound("tool.unknown", f"the gateway offers no tool {name!r} to this key", hint)
        return await client.call_tool(name, read_arguments(words, tool))


def read_arguments(words: Sequence[str], tool: Tool) -> dict[str, Any]:
    """One JSON object, or KEY=VALUE and KEY:=JSON words. Raises `Invalid`."""
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        value = _json(words[0])
        assert isinstance(value, dict)
        return value
    types = {name: _type_of(schema) for name, schema in tool.input_schema.get("properties", {}).items()}
    return dict(_argument(word, types) for word in words)


def _argument(word: str, types: Mapping[str, str]) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise Invalid("call.argument", f"{word!r} is neither JSON nor KEY=VALUE", "for example path=README.md")
    if name.endswith(":"):
        return name[:-1], _json(value)
    if types.get(name, "string") == "string":
        return name, value
    return name, _json(value)


def _type_of(schema: Any) -> str:
    """The one JSON type of a property; `string` when it may be several, which `:=` settles."""
    kind = schema.get("type", "string") if isinstance(schema, dict) else "string"
    return kind if isinstance(kind, str) else "string"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        message = f"{text[:80]!r} is not JSON: {error.msg} at column {error.colno}"
        raise Invalid("call.json", message, "put it into single quotes for the shell") from error


def _read(path: Path) -> str:
    try:
        return path.expanduser().read_text().strip()
    except OSError as error:
        raise Invalid("key.unreadable", f"{path} cannot be read: {error.strerror}", "check --key-file") from error


def _tell(result: CallToolResult, output: Form) -> None:
    if output is not Form.TABLE:
        show(result.model_dump(mode="json", by_alias=True, exclude_none=True), output)
        return
    for block in result.content:
        pass_on(block.text if block.type == "text" else f"[{block.type}: --output json shows it]")
    if not result.content and result.structured_content is not None:
        show(result.structured_content, Form.JSON)
