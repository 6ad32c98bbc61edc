"""A built-in server: a name, its tools, and how a call becomes a result.

Every server is built the same way: `App(...)`, then `add(...)` for each tool, then it is served by
`garrison.servers.toolkit.transports`. Both protocol eras come from the SDK's low-level `Server`.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol, runtime_checkable

import mcp_types as types
import msgspec
from mcp.server import CacheHint, Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from garrison import __version__
from garrison.kernel.errors import Denied, GarrisonError
from garrison.servers.toolkit.call import Call, CallCancelled
from garrison.servers.toolkit.tool import Tool, ToolFunction, declare

log = logging.getLogger(__name__)

CODE_META_KEY = "garrison/code"
"""Where an `isError` result carries the stable, dotted error code."""

_DEFINITIONS_FRESH_MS = 3_600_000  # tools never change while a server runs


@runtime_checkable
class Readable(Protocol):
    """A result that reads better than its JSON: first the thing itself, then what else there is to know."""

    def as_texts(self) -> list[str]: ...


class App:
    """The tools of one server. A read-only app keeps its writing tools to itself and says so when one is called."""

    def __init__(self, name: str, title: str, instructions: str, *, writable: bool = True) -> None:
        self.name = name
        self.title = title
        self.instructions = instructions
        self.writable = writable
        self._tools: dict[str, Tool] = {}
        self._held: set[str] = set()

    def add(self, title: str, annotations: types.ToolAnnotations, function: ToolFunction) -> None:
        """Offer `function` as a tool; tools that do not only read are held back unless the app is writable."""
        tool = declare(title, annotations, function)
        if self.writable or annotations.read_only_hint:
            self._tools[tool.definition.name] = tool
        else:
            self._held.add(tool.definition.name)

    @property
    def definitions(self) -> list[types.Tool]:
        return [tool.definition for tool in self._tools.values()]

    def server(self) -> Server[Any]:
        """The SDK's server for this app."""
        fresh = CacheHint(ttl_ms=_DEFINITIONS_FRESH_MS, scope="public")
        return Server(
            self.name,
            version=__version__,
            title=self.title,
            instructions=self.instructions,
            cache_hints={"tools/list": fresh, "server/discover": fresh},
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(
        self, _context: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self.definitions)

    async def _call(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            tool = self._find(params.name)
            result = await tool.run(params.arguments or {}, Call(context.session.report_progress))
            return success(result)
        except GarrisonError as error:
            return failure(error.code, error.message, error.hint)
        except CallCancelled:
            return failure("call.cancelled", "The call was cancelled.")
        except MCPError:
            raise
        except Exception:  # boundary: the end of a tool call; a crash must neither end the server nor tell its insides
            log.exception("tool %s of server %s failed", params.name, self.name)
            return failure("server.defect", f"{params.name} failed unexpectedly.", "See the server's log.")

    def _find(self, name: str) -> Tool:
        if name in self._held:
            raise Denied("server.read_only", f"{name} is off: this server is read-only.", "Start it with --writable.")
        if name not in self._tools:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {name[:128]}")
        return self._tools[name]


def success(result: msgspec.Struct) -> types.CallToolResult:
    """Structured content, and texts for clients that read only those: the struct's own, or else its JSON."""
    data = msgspec.json.encode(result)
    texts = result.as_texts() if isinstance(result, Readable) else [data.decode()]
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text) for text in texts],
        structured_content=msgspec.json.decode(data),
    )


def failure(code: str, message: str, hint: str = "") -> types.CallToolResult:
    """An `isError` result: one sentence on what happened and one on what to do."""
    text = f"{message}\n{hint}" if hint else message
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], is_error=True, _meta={CODE_META_KEY: code}
    )
