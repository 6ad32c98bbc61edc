"""What HTTP requests begin with, and what an HTTP status means for a call."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from garrison.kernel.errors import GarrisonError, Invalid, Limited, TimedOut, Unavailable

RETRY_AFTER_S_MAX = 3600.0

_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "accept",
                   "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"})  # fmt: skip
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")


def fixed_headers(authority: str, url: str, headers: Mapping[str, str], *, without: str = "") -> str:
    """The header lines that are the same in every request. Raises `Invalid` when one cannot be sent.

    A URL's `user:password@` becomes an `Authorization` header; headers that are the protocol's are left out, and the
    one that is sent `without` them.
    """
    own = {"host": authority, "user-agent": "garrison", **_credentials(url)}
    own |= {name.lower(): value for name, value in headers.items() if name.lower() not in _OURS}
    if without:
        own.pop(without, None)
    for name, value in own.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Invalid("server.bad_header", f"the header {name[:60]!r} cannot be sent as it stands")
    return "".join(f"{name}: {value}\r\n" for name, value in own.items())


def _credentials(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def status_error(label: str, status: int, headers: Mapping[str, str]) -> GarrisonError:
    """What it means that a server answered with this status (300 and above) and without a JSON-RPC error."""
    if status in (401, 403):
        hint = "set its credential under `headers`, or say under `auth` where to get one"
        return Unavailable("server.auth_needed", f"server {label} asks for a credential (HTTP {status})", hint)
    if status == 429:
        wait_s = retry_after_s(headers.get("retry-after", ""))
        return Limited("server.limited", f"server {label} limits us (HTTP 429)", "try again later", wait_s)
    if status < 400:
        hint = "put the final URL into the configuration; redirects are not followed"
        return Invalid("server.redirected", f"server {label} redirects (HTTP {status})", hint)
    if status in (404, 405):
        hint = "is the path of the URL right (often /mcp), or is it an SSE server (transport: sse)?"
        return Invalid("server.no_endpoint", f"server {label} has no MCP endpoint at its URL (HTTP {status})", hint)
    if status == 503:
        return Unavailable("server.unavailable", f"server {label} is not available (HTTP 503)", "try again")
    if status < 500:
        return Invalid("server.http_error", f"server {label} answered HTTP {status}", "see its log")
    return TimedOut("server.http_error", f"server {label} answered HTTP {status}; the outcome is unknown")


def no_answer() -> TimedOut:
    return TimedOut("server.no_answer", "the server ended its response without an answer")


def retry_after_s(value: str) -> float:
    """Seconds of a `Retry-After` header (RFC 9110, 10.2.3), at most an hour; 1 where it is a date or nonsense."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        return 1.0
    return min(float(value), RETRY_AFTER_S_MAX)


def is_event_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").lower().startswith("text/event-stream")
