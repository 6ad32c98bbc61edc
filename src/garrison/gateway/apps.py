"""MCP Apps on the aggregate: a `ui://` resource is named with its server, on its way out and back. Pure.

Servers choose these URIs without knowing of each other (`ui://app/main.html`), and tools point to them in `_meta`
(`ui.resourceUri`, and `ui/resourceUri` in an older form). So `ui://app/main.html` of server `git` is
`ui://git/app/main.html` here, wherever it is named: in lists, in `_meta`, in results and their links.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import msgspec
from msgspec import Raw

from garrison.protocol import methods
from garrison.protocol.messages import decode_any, encode, members, raw

SCHEME = "ui://"
MARK = SCHEME.encode()
EXTENSION = "io.modelcontextprotocol/ui"
_NAMING = ("uri", "uriTemplate")
_CONTENT_MEMBERS = ("content", "contents", "messages")
_BEARING = frozenset(
    {methods.TOOLS_CALL, methods.PROMPTS_GET, methods.RESOURCES_READ, methods.TASKS_GET, methods.TASKS_RESULT}
)


def shown(server: str, uri: str) -> str:
    """A URI of this server as clients of the aggregate know it."""
    return f"{SCHEME}{server}/{uri[len(SCHEME) :]}" if uri.startswith(SCHEME) else uri


def original(uri: str, servers: Container[str]) -> tuple[str, str] | None:
    """The server and the URI there; None for any other URI than one that `shown` gave."""
    if not uri.startswith(SCHEME):
        return None
    server, slash, rest = uri[len(SCHEME) :].partition("/")
    return (server, SCHEME + rest) if slash and server in servers else None


def entry(server: str, content: dict[str, Any]) -> dict[str, Any]:
    """An entry of a list (tool, prompt, resource, template) or a block of content, with its `ui://` URIs as shown."""
    changed = dict(content)
    for key in _NAMING:
        if isinstance(changed.get(key), str):
            changed[key] = shown(server, changed[key])
    if "_meta" in changed:
        changed["_meta"] = _everywhere(server, changed["_meta"])
    for key in ("resource", "content"):  # an embedded resource; the content of a prompt's message
        if isinstance(changed.get(key), dict):
            changed[key] = entry(server, changed[key])
    return changed


def result(server: str, content: bytes | Raw) -> bytes | Raw:
    """A result with its `ui://` URIs as shown: content, links, embedded resources, `_meta`. Texts stay as they are.

    The same object where there is none, or where it cannot be read.
    """
    if MARK not in bytes(content):
        return content
    try:
        parts = members(content)
        for key in _CONTENT_MEMBERS:
            if key in parts:
                parts[key] = _blocks(server, parts[key])
        if "_meta" in parts:
            parts["_meta"] = raw(_everywhere(server, decode_any(parts["_meta"])))
        if "result" in parts:  # of a finished task
            parts["result"] = Raw(bytes(result(server, parts["result"])))
    except (msgspec.MsgspecError, RecursionError):
        return content
    return encode(parts)


def is_app_bearing(method: str) -> bool:
    """Whether a method's results can name `ui://` resources."""
    return method in _BEARING


def _blocks(server: str, content: Raw) -> Raw:
    if MARK not in bytes(content):
        return content
    found = decode_any(content)
    if not isinstance(found, list):
        return content
    return raw([entry(server, block) if isinstance(block, dict) else block for block in found])


def _everywhere(server: str, value: Any) -> Any:
    """`_meta` holds nothing but annotations, so every `ui://` URI in it is a reference."""
    if isinstance(value, str):
        return shown(server, value)
    if isinstance(value, dict):
        return {key: _everywhere(server, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_everywhere(server, inner) for inner in value]
    return value
