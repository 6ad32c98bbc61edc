"""The strict guard in front of every request: what is malformed, too large or from the wrong place ends here. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Header = tuple[bytes, bytes]

_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%]*\]?|[^\x00-\x20\[\]:/?#@,\\]+)(?::[0-9]{0,5})?")

_ONCE = (b"host", b"content-length", b"content-type", b"origin", b"authorization", b"mcp-session-id")


@dataclass(frozen=True)
class Guard:
    """`hosts` and `origins` are what `Host` and `Origin` may say, beside the loopback names on any port."""

    body_bytes_max: int = 4 * 1024 * 1024
    headers_max: int = 100
    head_bytes_max: int = 32 * 1024
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def check(self, verb: bytes, target: bytes, version: str, headers: Sequence[Header]) -> Refusal | None:
        """Why this head is refused, or None."""
        return self._size(target, headers) or _shape(version, headers) or self._place(headers) or self._length(headers)

    def _size(self, target: bytes, headers: Sequence[Header]) -> Refusal | None:
        if len(target) > self.head_bytes_max // 4:
            return Refusal(414, "the request's target is too long")
        size = sum(len(name) + len(value) + 4 for name, value in headers)
        if len(headers) > self.headers_max or size > self.head_bytes_max:
            return Refusal(431, "too many or too large headers")
        return None

    def _place(self, headers: Sequence[Header]) -> Refusal | None:
        """DNS rebinding and cross-site requests: a browser says where it thinks it is, and where it comes from."""
        for name, value in headers:
            if name == b"host" and not self._host_allowed(value.decode("latin-1")):
                return Refusal(421, "this host name is not served here; add it to settings.edge.hosts")
            if name == b"origin" and not self._origin_allowed(value.decode("latin-1")):
                return Refusal(403, "this origin is not allowed; add it to settings.edge.origins")
        return None

    def _host_allowed(self, host: str) -> bool:
        return is_loopback(hostname(host)) or hostname(host) in self.hosts or host.lower() in self.hosts

    def _origin_allowed(self, origin: str) -> bool:
        if origin.lower() in self.origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")

    def _length(self, headers: Sequence[Header]) -> Refusal | None:
        for name, value in headers:
            if name == b"content-length" and (not value.isdigit() or int(value[:20]) > self.body_bytes_max):
                return Refusal(413, f"the body is larger than {self.body_bytes_max} bytes")
        return None


@dataclass(frozen=True)
class Refusal:
    """An HTTP status and one sentence; the connection is closed after it."""

    status: int
    message: str


def hostname(host: str) -> str:
    """The name in a `Host` header, without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.partition(":")[0].lower()


def is_loopback(name: str) -> bool:
    """Names and addresses that always mean this machine."""
    return name in ("localhost", "::1") or (name.startswith("127.") and name.replace(".", "").isdigit())


def _shape(version: str, headers: Sequence[Header]) -> Refusal | None:
    """What makes two readers disagree about a request is refused (RFC 9112, 3.2, 6.1 and 11.2)."""
    if version not in ("1.0", "1.1"):
        return Refusal(400, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    seen: set[bytes] = set()
    for name, _value in headers:
        if name in seen and name in _ONCE:
            return Refusal(400, f"the {name.decode('latin-1')} header stands twice")
        seen.add(name)
    if b"content-length" in seen and b"transfer-encoding" in seen:
        return Refusal(400, "Content-Length and Transfer-Encoding exclude each other")
    for name, value in headers:
        if name == b"transfer-encoding" and (value.strip().lower() != b"chunked" or version == "1.0"):
            return Refusal(400, "the only transfer coding known here is chunked, in HTTP/1.1")
        if name == b"host" and not _HOST.fullmatch(value.strip()):
            return Refusal(400, "the Host header is malformed")
        if b"\x00" in value:
            return Refusal(400, "a header holds a NUL")
    if b"host" not in seen and version == "1.1":
        return Refusal(400, "the Host header is missing")
    return None
