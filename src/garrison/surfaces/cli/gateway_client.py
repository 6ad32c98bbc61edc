"""The official MCP client on our own gateway, as any user's client would use it."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Tool

from garrison import __version__
from garrison.kernel.errors import (
    Conflict,
    Defect,
    Denied,
    GarrisonError,
    Invalid,
    Limited,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from garrison.protocol import codes

PAGES_MAX = 1000

logging.getLogger("mcp").setLevel(logging.CRITICAL)
"""The client logs what it also raises; here the error is told once."""


@asynccontextmanager
async def connected(url: str, key: str, timeout_s: float, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """A client that has shaken hands. Whatever goes wrong inside comes out as one typed error.

    `tls` says whom to trust, if not whom everybody does.
    """
    headers = {"Authorization": f"Bearer {key}", "User-Agent": f"garrison-cli/{__version__}"}
    try:
        async with httpx2.AsyncClient(headers=headers, timeout=timeout_s, trust_env=False, verify=tls or True) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, read_timeout_seconds=timeout_s) as client:
                yield client
    except Exception as error:  # boundary to the client, which wraps what happens in exception groups
        raise explained(error, url) from error


async def all_tools(client: Client) -> list[Tool]:
    """Every page of the list."""
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return tools


def explained(error: BaseException, url: str) -> GarrisonError:
    """The innermost cause as one of our errors."""
    cause = _innermost(error)
    if isinstance(cause, GarrisonError):
        return cause
    if isinstance(cause, httpx2.HTTPStatusError):
        return _of_status(cause.response.status_code, url)
    if isinstance(cause, (httpx2.HTTPError, OSError)):
        message = f"{url} does not answer: {cause or type(cause).__name__}"
        return Unavailable("gateway.unreachable", message, "see `garrison status`")
    if isinstance(cause, MCPError):
        return _of_answer(cause)
    return Defect("client.defect", f"{type(cause).__name__}: {cause}", "please report it")


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _of_status(status: int, url: str) -> GarrisonError:
    if status == 401:
        return Unauthenticated("key.unknown", f"{url} does not know this key", "see `garrison keys list`")
    if status == 403:
        return Denied("grant.missing", f"{url} refuses this key", "see `garrison keys list`")
    return Unavailable("gateway.refused", f"{url} answered {status}", "see `garrison status`")


def _of_answer(error: MCPError) -> GarrisonError:
    """A JSON-RPC error; ours carry a dotted code and a hint in their data."""
    told = error.data if isinstance(error.data, dict) else {}
    cls = _OF_CODE.get(error.code, Invalid)
    hint = str(told.get("hint", ""))
    return cls(str(told.get("code", "call.refused")), error.message.removesuffix(f" ({hint})"), hint)


_OF_CODE: dict[int, type[GarrisonError]] = {
    codes.UNAUTHENTICATED: Unauthenticated,
    codes.DENIED: Denied,
    codes.LIMITED: Limited,
    codes.TIMED_OUT: TimedOut,
    codes.UNAVAILABLE: Unavailable,
    codes.CONFLICT: Conflict,
    codes.METHOD_NOT_FOUND: Unsupported,
}
