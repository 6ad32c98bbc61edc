"""Where a URL leads."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from garrison.kernel.errors import Invalid
from garrison.protocol.addresses import plain_host

FOUND_URL_CHARS_MAX = 2048


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

    @property
    def base(self) -> str:
        """The URL up to its path: what browsers call an origin."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def parse_url(url: str) -> Origin:
    """Raises `Invalid` when it is no absolute http or https URL, or when readers could understand it differently."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:  # its text may hold a password: it is not passed on
        raise Invalid("url.invalid", "the URL cannot be read", "write it as https://host/path") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Invalid("url.invalid", "the URL is not an absolute http or https URL", "write it as https://host/path")
    if "\\" in url or any(char <= " " for char in url):
        raise Invalid("url.invalid", "the URL holds characters that must be percent-encoded")
    host = plain_host(host)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise Invalid("url.invalid", "the URL holds characters that must be percent-encoded")
    tls = parts.scheme == "https"
    return Origin(host, port or (443 if tls else 80), tls, target)


def parse_found_url(url: str) -> Origin:
    """A URL that a server or a token has named: without a user, without a fragment, and of moderate length."""
    if len(url) > FOUND_URL_CHARS_MAX or "@" in url.partition("://")[2].partition("/")[0] or "#" in url:
        raise Invalid("url.invalid", "the URL that was named holds a user or a fragment, or is too long")
    return parse_url(url)
