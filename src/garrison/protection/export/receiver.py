"""A syslog receiver: over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425).

Syslog has no answer that says "stored". Over TCP and TLS `delivered` waits until the receiver's machine has
acknowledged every octet; what fails before that is sent again, so a receiver may see an entry twice and never misses
one. UDP loses without a word.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from garrison.kernel.errors import Invalid, Unavailable
from garrison.protection.export.syslog import framed
from garrison.protocol.addresses import Rules
from garrison.protocol.transports.outbound import addresses_now

Transport = Literal["udp", "tcp", "tls"]
PORTS: Final[dict[str, tuple[Transport, int]]] = {
    "syslog+udp": ("udp", 514),
    "syslog+tcp": ("tcp", 601),
    "syslog+tls": ("tls", 6514),
}
TIMEOUT_S = 10.0
POLL_S = 0.01


@dataclass(frozen=True)
class Address:
    """Where to send to. For TLS: `ca` are the certificates to trust instead of the system's, `certificate` and `key`
    our own, where the receiver asks for one (PEM files). `rules`: what may be reached at all."""

    transport: Transport
    host: str
    port: int
    ca: str = ""
    certificate: str = ""
    key: str = ""
    rules: Rules = field(default_factory=Rules)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"syslog+{self.transport}://{host}:{self.port}"


def address_of(
    url: str,
    ca: str = "",
    certificate: str = "",
    key: str = "",
    rules: Rules = Rules(),  # noqa: B008  immutable
) -> Address:
    """`syslog+tls://HOST[:PORT]`. Raises `Invalid`."""
    try:
        parts = urlsplit(url)
        transport, port = PORTS[parts.scheme]
        if not parts.hostname or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(url)
        return Address(transport, parts.hostname, parts.port or port, ca, certificate, key, rules)
    except (KeyError, ValueError) as error:
        hint = "syslog+tls://HOST:6514, syslog+tcp://HOST:601 or syslog+udp://HOST:514"
        raise Invalid("audit.receiver", f"{url[:200]!r} is no syslog receiver.", hint) from error


class Receiver:
    """One connection. Everything that goes wrong is `Unavailable` (`audit.receiver_unreachable`)."""

    def __init__(self, address: Address, timeout_s: float = TIMEOUT_S) -> None:
        self._address = address
        self._timeout_s = timeout_s
        try:
            self._socket = self._connect()
        except (OSError, ValueError) as error:
            raise self._unreachable(error) from error

    def send(self, messages: Sequence[bytes]) -> None:
        """Hand them to the network; `delivered` says whether they arrived."""
        try:
            if self._address.transport == "udp":
                for message in messages:
                    self._socket.send(message)
            else:
                self._socket.sendall(b"".join(map(framed, messages)))
        except OSError as error:
            raise self._unreachable(error) from error

    def delivered(self) -> None:
        """Return when the other machine has all of it. Over UDP: at once, and nothing is known."""
        if self._address.transport == "udp":
            return
        deadline = time.monotonic() + self._timeout_s
        try:
            self._insist_that_it_listens()
            while _unacknowledged(self._socket):
                if time.monotonic() > deadline:
                    raise TimeoutError("it takes nothing any more")
                time.sleep(POLL_S)
                self._insist_that_it_listens()
        except OSError as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Orderly over TLS, where an end without a word looks like an attack."""
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket = self._socket.unwrap()
        except OSError:
            pass  # it is gone already
        finally:
            self._socket.close()

    def _connect(self) -> socket.socket:
        """To an address that the name stands for now, and that may be reached (`protocol.transports.outbound`)."""
        address = self._address
        places = addresses_now(address.rules, address.host, address.port, "private")
        if address.transport == "udp":
            made = socket.socket(socket.AF_INET6 if ":" in places[0] else socket.AF_INET, socket.SOCK_DGRAM)
            made.connect((places[0], address.port))
            return made
        made = self._reached(places)
        if address.transport == "tcp":
            return made
        try:
            return _context(address).wrap_socket(made, server_hostname=address.host)
        except BaseException:
            made.close()
            raise

    def _reached(self, places: Sequence[str]) -> socket.socket:
        """The first that takes a connection."""
        for place in places[:-1]:
            with suppress(OSError):
                return socket.create_connection((place, self._address.port), self._timeout_s)
        return socket.create_connection((places[-1], self._address.port), self._timeout_s)

    def _insist_that_it_listens(self) -> None:
        """A receiver that has closed does not read what its machine has acknowledged."""
        self._socket.setblocking(False)
        try:
            if not self._socket.recv(1):
                raise ConnectionResetError("it has closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            self._socket.settimeout(self._timeout_s)

    def _unreachable(self, error: Exception) -> Unavailable:
        message = f"The syslog receiver {self._address} cannot be reached: {error}."
        return Unavailable("audit.receiver_unreachable", message, "Is it up, and is its certificate the one to trust?")


def _context(address: Address) -> ssl.SSLContext:
    """Certificate and name are always checked (RFC 5425 section 5)."""
    for name in (address.ca, address.certificate, address.key):
        if name and not Path(name).is_file():
            raise FileNotFoundError(f"there is no file {name}")
    context = ssl.create_default_context(cafile=address.ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if address.certificate:
        context.load_cert_chain(address.certificate, address.key or None)
    return context


def _unacknowledged(connection: socket.socket) -> int:
    """Octets in our machine's queue that the other one has not acknowledged (SIOCOUTQ, which is TIOCOUTQ)."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])
