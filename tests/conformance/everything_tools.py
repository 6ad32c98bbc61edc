"""The everything server's tools that answer at once, or ask the client over the back-channel of the older era."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError

Context = ServerRequestContext[Any, Any]
Params = types.CallToolRequestParams
Result = types.CallToolResult | types.InputRequiredResult
Changes = InMemorySubscriptionBus
Json = dict[str, Any]

MISSING_CAPABILITY = -32021
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
STEP_S = 0.05


@dataclass(frozen=True)
class Tool:
    description: str
    run: Callable[[Context, Params, Changes], Awaitable[Result]]
    schema: Json = field(default_factory=lambda: {"type": "object"})


def text(words: str) -> types.TextContent:
    return types.TextContent(type="text", text=words)


def embedded(uri: str, mime: str, words: str) -> types.EmbeddedResource:
    resource = types.TextResourceContents(uri=uri, mime_type=mime, text=words)
    return types.EmbeddedResource(type="resource", resource=resource)


def answer(*content: types.ContentBlock | str, is_error: bool = False) -> types.CallToolResult:
    blocks = [text(block) if isinstance(block, str) else block for block in content]
    return types.CallToolResult(content=blocks, is_error=is_error)


def fixed(description: str, *content: types.ContentBlock | str, is_error: bool = False) -> Tool:
    """A tool that always says the same."""

    async def run(context: Context, params: Params, changes: Changes) -> Result:
        return answer(*content, is_error=is_error)

    return Tool(description, run)


async def with_logging(context: Context, params: Params, changes: Changes) -> Result:
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await log(context, words)
        await asyncio.sleep(STEP_S)
    return answer("Three log messages were sent.")


async def log(context: Context, words: str) -> None:
    await context.session.send_log_message("info", words, related_request_id=context.request_id)


async def with_progress(context: Context, params: Params, changes: Changes) -> Result:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100, f"{done} of 100")
        await asyncio.sleep(STEP_S)
    return answer("Progress was reported three times.")


async def reconnection(context: Context, params: Params, changes: Changes) -> Result:
    """Closes its own stream in mid-call; the answer waits for whoever comes back."""
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await asyncio.sleep(2 * STEP_S)
    return answer("Reconnected.")


async def sampling(context: Context, params: Params, changes: Changes) -> Result:
    prompt = str((params.arguments or {})["prompt"])
    message = types.SamplingMessage(role="user", content=text(prompt))
    result = await context.session.create_message([message], max_tokens=100, related_request_id=context.request_id)
    words = result.content.text if isinstance(result.content, types.TextContent) else "(not text)"
    return answer(f"LLM response: {words}")


async def elicitation(context: Context, params: Params, changes: Changes) -> Result:
    message = str((params.arguments or {})["message"])
    described = {name: {"type": "string", "description": f"The user's {name}"} for name in ("username", "email")}
    return await elicit(context, message, {"properties": described, "required": list(described)})


async def elicit(context: Context, message: str, schema: Json) -> Result:
    result = await context.session.elicit_form(message, {"type": "object", **schema}, context.request_id)
    return answer(f"User response: action={result.action}, content={result.content}")


def form(description: str, properties: Json) -> Tool:
    """A tool that elicits one form."""

    async def run(context: Context, params: Params, changes: Changes) -> Result:
        return await elicit(context, description, {"properties": properties})

    return Tool(description, run)


async def missing_capability(context: Context, params: Params, changes: Changes) -> Result:
    declared = context.session.client_capabilities
    if declared is None or declared.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_CAPABILITY, "This tool needs sampling", needed)
    return answer("The client can sample.")


async def tool_change(context: Context, params: Params, changes: Changes) -> Result:
    await changes.publish(ToolsListChanged())
    return answer("Told that the tools changed.")


async def prompt_change(context: Context, params: Params, changes: Changes) -> Result:
    await changes.publish(PromptsListChanged())
    return answer("Told that the prompts changed.")


async def region(context: Context, params: Params, changes: Changes) -> Result:
    return answer(f"Region {(params.arguments or {})['region']}")


async def contact(context: Context, params: Params, changes: Changes) -> Result:
    return answer(f"Known: {sorted(params.arguments or {})}")


def options(kind: str, *names: str) -> list[Json]:
    return [{"const": name, "title": f"{kind} {name}"} for name in names]


DEFAULTS: Json = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
ENUMS: Json = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": options("Option", "value1", "value2", "value3")},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": options("Choice", "value1", "value2", "value3")}},
}
BY_PHONE_OR_EMAIL: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def one_string(name: str, **more: str) -> Json:
    return {"type": "object", "properties": {name: {"type": "string", **more}}, "required": [name]}


IMAGE = types.ImageContent(type="image", data=PIXEL, mime_type="image/png")
AUDIO = types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")
MIXED = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')

TOOLS: dict[str, Tool] = {
    "test_simple_text": fixed("Simple text", "This is a simple text response for testing."),
    "test_image_content": fixed("An image", IMAGE),
    "test_audio_content": fixed("A sound", AUDIO),
    "test_embedded_resource": fixed(
        "A resource", embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ),
    "test_multiple_content_types": fixed("Several kinds", "Multiple content types test:", IMAGE, MIXED),
    "test_error_handling": fixed("Fails", "This tool intentionally returns an error for testing", is_error=True),
    "test_tool_with_logging": Tool("Logs three times", with_logging),
    "test_logging_tool": Tool("Logs, for those who asked for it", with_logging),
    "test_tool_with_progress": Tool("Reports progress", with_progress),
    "test_reconnection": Tool("Closes its stream in mid-call", reconnection),
    "test_sampling": Tool("Samples", sampling, one_string("prompt")),
    "test_elicitation": Tool("Elicits", elicitation, one_string("message")),
    "test_elicitation_sep1034_defaults": form("Elicits with defaults", DEFAULTS),
    "test_elicitation_sep1330_enums": form("Elicits choices", ENUMS),
    "test_missing_capability": Tool("Needs sampling", missing_capability),
    "test_trigger_tool_change": Tool("The tools change", tool_change),
    "test_trigger_prompt_change": Tool("The prompts change", prompt_change),
    "test_region": Tool(
        "Takes an argument that is a header too", region, one_string("region", **{"x-mcp-header": "Region"})
    ),
    "json_schema_2020_12_tool": Tool("Has a schema with everything in it", contact, BY_PHONE_OR_EMAIL),
}
