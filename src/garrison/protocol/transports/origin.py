"""Where a URL leads."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from garrison.kernel.errors import Invalid


@dataclass(frozen=True)
class Origin:
    """Where a URL leads: host, port, TLS or not, and the request target."""

    host: str
    port: int
    tls: bool
    target: str

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_url(url: str) -> Origin:
    """Raises `Invalid` when it is no absolute http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _ascii(parts.hostname or "")
    except ValueError:  # its text may hold a password: it is not passed on
        raise Invalid("url.invalid", "the URL cannot be read", "write it as https://host/path") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Invalid("url.invalid", "the URL is not an absolute http or https URL", "write it as https://host/path")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or any(char <= " " for char in target + host):
        raise Invalid("url.invalid", "the URL holds characters that must be percent-encoded")
    tls = parts.scheme == "https"
    return Origin(host, port or (443 if tls else 80), tls, target)


def _ascii(host: str) -> str:
    """The name as DNS wants it. Raises `UnicodeError`, a `ValueError`, when it cannot be one."""
    return host if ":" in host else host.encode("idna").decode()
