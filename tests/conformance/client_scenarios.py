"""What a client does in each of the suite's client scenarios. The suite judges from the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp import Client

Drive = Callable[[Client, dict[str, Any]], Awaitable[None]]
"""A connected client, and the context that the suite gives with the scenario."""


async def elicited(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    """Accepts, with every default that the form offers, and yes where it has none."""
    properties = params.requested_schema["properties"] if isinstance(params, types.ElicitRequestFormParams) else {}
    content = {name: schema.get("default", schema["type"] == "boolean") for name, schema in properties.items()}
    return types.ElicitResult(action="accept", content=content)


async def only_list(client: Client, context: dict[str, Any]) -> None:
    await client.list_tools()


async def add_numbers(client: Client, context: dict[str, Any]) -> None:
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


async def call_every_tool(client: Client, context: dict[str, Any]) -> None:
    """Those that were left out of the list are not called. Text for all that is required."""
    for tool in (await client.list_tools()).tools:
        arguments = dict.fromkeys(tool.input_schema.get("required", ()), "us-east1")
        await client.call_tool(tool.name, arguments)


async def call_as_told(client: Client, context: dict[str, Any]) -> None:
    await client.list_tools()
    for call in context["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def ask_for_everything(client: Client, context: dict[str, Any]) -> None:
    await call_every_tool(client, context)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(str(resource.uri))
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name)


async def answer_inputs(client: Client, context: dict[str, Any]) -> None:
    """Calls that are asked for input, with others among them."""
    await client.list_tools()
    together = ("echo_state", "unrelated", "no_state")
    await asyncio.gather(*(client.call_tool(f"test_mrtr_{name}", {}) for name in together))
    await client.call_tool("test_mrtr_unrelated", {})
    await client.call_tool("test_mrtr_no_result_type", {})


async def send_schema_back(client: Client, context: dict[str, Any]) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    await client.call_tool("json_schema_echo", {"schema": tools["json_schema_2020_12_tool"].input_schema})


SCENARIOS: dict[str, Drive] = {
    "initialize": only_list,
    "tools_call": add_numbers,
    "elicitation-sep1034-client-defaults": call_every_tool,
    "sse-retry": call_every_tool,
    "request-metadata": only_list,
    "sep-2322-client-request-state": answer_inputs,
    "http-standard-headers": ask_for_everything,
    "http-custom-headers": call_as_told,
    "http-invalid-tool-headers": call_every_tool,
    "json-schema-ref-no-deref": only_list,
    "json-schema-2020-12-preservation": send_schema_back,
}


def drive_of(scenario: str) -> Drive:
    """The others, all about authorisation, only want to get through to a tool."""
    return SCENARIOS.get(scenario, call_every_tool)
