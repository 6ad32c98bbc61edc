"""What the conformance suite asks of a server, in both eras, over HTTP: `python everything_server.py [PORT]`.

Built on the official SDK. The names of tools, prompts and resources are the suite's: each scenario says in its
description what it needs of the server.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import mcp_types as types
import uvicorn
from everything_inputs import INPUT_TOOLS, context_prompt
from everything_tools import PIXEL, TOOLS, Changes, Tool, embedded, text
from mcp.server import Server, ServerRequestContext
from mcp.server.caching import CacheHint
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

Context = ServerRequestContext[Any, Any]

INVALID_PARAMS = -32602
ALL_TOOLS: dict[str, Tool] = TOOLS | INPUT_TOOLS
HINT = CacheHint(ttl_ms=1_000, scope="public")
RESOURCES = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", PIXEL),
    "test://watched-resource": ("text/plain", "Somebody watches this."),
}
TEMPLATE = "test://template/{id}/data"
PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


class Memory(EventStore):
    """All events, so that a stream that was closed in mid-call can be taken up again."""

    def __init__(self) -> None:
        self._events: list[tuple[str, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        if not last_event_id.isdecimal() or not 0 < int(last_event_id) <= len(self._events):
            return None
        stream = self._events[int(last_event_id) - 1][0]
        for number, (owner, message) in enumerate(self._events[int(last_event_id) :], start=int(last_event_id) + 1):
            if owner == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def list_tools(context: Context, params: Any) -> types.ListToolsResult:
    listed = [
        types.Tool(name=name, description=tool.description, input_schema=tool.schema)
        for name, tool in ALL_TOOLS.items()
    ]
    return types.ListToolsResult(tools=listed)


async def list_prompts(context: Context, params: Any) -> types.ListPromptsResult:
    listed = [
        types.Prompt(
            name=name,
            description=name.replace("_", " "),
            arguments=[types.PromptArgument(name=argument, required=True) for argument in arguments],
        )
        for name, arguments in PROMPTS.items()
    ]
    return types.ListPromptsResult(prompts=listed)


async def get_prompt(
    context: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return said("This is a simple prompt for testing.")
        case "test_prompt_with_arguments":
            return said(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")
        case "test_prompt_with_embedded_resource":
            return said(embedded(given["resourceUri"], "text/plain", "An embedded resource."), "Read it, please.")
        case "test_prompt_with_image":
            return said(types.ImageContent(type="image", data=PIXEL, mime_type="image/png"), "What is in it?")
        case "test_input_required_result_prompt":
            asked = context_prompt(params)
            return asked if isinstance(asked, types.InputRequiredResult) else said(asked)
    raise MCPError(INVALID_PARAMS, f"No prompt {params.name}")


def said(*contents: str | types.ContentBlock) -> types.GetPromptResult:
    """A prompt of user messages."""
    messages = [
        types.PromptMessage(role="user", content=text(content) if isinstance(content, str) else content)
        for content in contents
    ]
    return types.GetPromptResult(messages=messages)


async def list_resources(context: Context, params: Any) -> types.ListResourcesResult:
    listed = [
        types.Resource(uri=uri, name=uri.removeprefix("test://"), mime_type=mime)
        for uri, (mime, _) in RESOURCES.items()
    ]
    return types.ListResourcesResult(resources=listed)


async def list_templates(context: Context, params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(uri_template=TEMPLATE, name="template", mime_type="application/json")
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    before, after = TEMPLATE.split("{id}")
    if uri.startswith(before) and uri.endswith(after):
        number = uri.removeprefix(before).removesuffix(after)
        body = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
        return contents(uri, "application/json", body)
    if uri not in RESOURCES:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
    return contents(uri, *RESOURCES[uri])


def contents(uri: str, mime: str, body: str) -> types.ReadResourceResult:
    one: types.BlobResourceContents | types.TextResourceContents = (
        types.BlobResourceContents(uri=uri, mime_type=mime, blob=body)
        if mime.startswith("image/")
        else types.TextResourceContents(uri=uri, mime_type=mime, text=body)
    )
    return types.ReadResourceResult(contents=[one])


async def complete(context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    wanted = params.argument.value
    values = [f"{wanted}{ending}" for ending in ("", "-one", "-two")]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


async def accept(context: Context, params: Any) -> types.EmptyResult:
    """For `logging/setLevel`, `resources/subscribe` and `resources/unsubscribe`."""
    return types.EmptyResult()


def build() -> Server[Any]:
    changes: Changes = InMemorySubscriptionBus()

    async def call_tool(
        context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name not in ALL_TOOLS:
            raise MCPError(INVALID_PARAMS, f"No tool {params.name}")
        return await ALL_TOOLS[params.name].run(context, params, changes)

    server = Server[Any](
        "conformance-everything",
        version="1.0.0",
        cache_hints={
            "server/discover": HINT,
            "tools/list": HINT,
            "prompts/list": HINT,
            "resources/list": HINT,
            "resources/templates/list": HINT,
            "resources/read": HINT,
        },
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=accept,
        on_unsubscribe_resource=accept,
        on_subscriptions_listen=ListenHandler(changes),
        on_completion=complete,
        on_set_logging_level=accept,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    return server


def main() -> None:
    """Serve until SIGTERM; the URL is the first line of stdout."""
    warnings.simplefilter("ignore", MCPDeprecationWarning)  # the older era is the point
    app = build().streamable_http_app(event_store=Memory(), retry_interval=100)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)
    listener = config.bind_socket()
    listener.listen()  # before anybody is told
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
