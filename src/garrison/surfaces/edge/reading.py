"""What the bytes of a request say to the edge, and those of a refusal. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from garrison.gateway.heads import Head
from garrison.surfaces.edge.guard import Refusal

_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)


def is_mcp_path(path: bytes) -> bool:
    """`/mcp`, `/servers/NAME/mcp`, `/profiles/NAME/mcp`, and with `/sse` and `/sse/TOKEN` for the older transport."""
    if path.startswith((b"/servers/", b"/profiles/")):
        return path.endswith((b"/mcp", b"/sse")) or b"/sse/" in path
    return path in (b"/mcp", b"/sse") or path.startswith(b"/sse/")


def without_upgrade(data: bytes) -> bytes:
    """The first bytes of a request without an offer to change the protocol, which may be ignored (RFC 9110, 7.8).

    The parser would take what follows for the other protocol, and some clients offer HTTP/2 with their first POST.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"", head + end[:2]) + end[2:] + body


def read_head(verb: str, path: bytes, headers: Sequence[tuple[bytes, bytes]], keep_alive: bool) -> Head:
    """A head as the gateway wants it; of a repeated header the last copy counts."""
    found: dict[str, str] = {}
    repeated = []
    for name, value in headers:
        key = name.decode("latin-1")
        if key in found:
            repeated.append(key)
        # White space around a value is no part of it (RFC 9110, 5.5); the parser leaves what trails.
        found[key] = value.decode("latin-1").strip(" \t")
    # What follows an answer to HEAD cannot be told from the next answer, so that there is none.
    return Head(verb, path.decode("latin-1"), found, tuple(repeated), keep_alive and verb != "HEAD")


def refusal_response(refusal: Refusal) -> bytes:
    body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"' + refusal.message.encode() + b'"}}'
    head = f"HTTP/1.1 {refusal.status} Refused\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body
