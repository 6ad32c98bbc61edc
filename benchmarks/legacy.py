"""A session of the legacy era, by hand: opened once, then the same request again and again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.request import Request, urlopen

VERSION = "2025-06-18"
TIMEOUT_S = 10.0


def open_session(url: str, key: str = "") -> dict[str, str]:
    """Say hello; gives the headers that further requests owe. Raises OSError (`URLError`, `HTTPError`)."""
    client = {"name": "garrison-bench", "version": "1"}
    hello = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client}
    headers = {"mcp-protocol-version": VERSION}
    asked = request(url, key, {}, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})
    with urlopen(asked, timeout=TIMEOUT_S) as answer:
        session = answer.headers.get("mcp-session-id")
        answer.read()
    if session:
        headers["mcp-session-id"] = session
    done = request(url, key, headers, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    with urlopen(done, timeout=TIMEOUT_S) as answer:
        answer.read()
    return headers


def call(url: str, key: str, headers: Mapping[str, str], tool: str, arguments: Mapping[str, Any]) -> bytes:
    """The body of the answer to one `tools/call`, whatever it is. Raises OSError."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": dict(arguments)}}
    with urlopen(request(url, key, headers, asked), timeout=TIMEOUT_S) as answer:
        body: bytes = answer.read()
    return body


def request(url: str, key: str, headers: Mapping[str, str], message: Mapping[str, Any]) -> Request:
    own = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    own |= {"authorization": f"Bearer {key}"} if key else {}
    return Request(url, json.dumps(message).encode(), own)
