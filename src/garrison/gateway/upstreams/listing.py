"""A server's list, read whole over a live connection."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from garrison.kernel.errors import Invalid
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.messages import decode_any, members

PAGES_MAX = 100
ITEMS_MAX = 10_000
LIST_TIMEOUT_S = 30.0


async def listed(connection: Connection, method: str) -> list[object]:
    """A whole list; empty where the server has no such thing."""
    return await fetch(connection, method) if methods.LIST_CAPABILITY[method] in connection.info.capabilities else []


async def fetch(connection: Connection, method: str) -> list[object]:
    """A whole list, all pages. Raises typed errors, `Invalid` when it does not end or is no list."""
    items: list[object] = []
    cursor: object = None
    for _ in range(PAGES_MAX):
        result = await connection.ask(method, {"cursor": cursor} if cursor is not None else {}, LIST_TIMEOUT_S)
        page = _page(connection, method, result)
        items += page[0]
        cursor = page[1]
        if cursor is None:
            return items
        if len(items) > ITEMS_MAX:
            break
    message = f"server {connection.label} has no end of {method} (over {PAGES_MAX} pages or {ITEMS_MAX} entries)"
    raise Invalid("server.endless_list", message)


def _page(connection: Connection, method: str, result: Raw) -> tuple[list[object], object]:
    try:
        parts = members(result)
        items = decode_any(parts[methods.LIST_MEMBER[method]])
        cursor = decode_any(parts["nextCursor"]) if "nextCursor" in parts else None
    except (KeyError, msgspec.MsgspecError, RecursionError):
        items, cursor = None, None
    if not isinstance(items, list):
        raise Invalid("server.bad_list", f"server {connection.label} answered {method} without a list")
    return items, cursor
