"""TLS at the edge: contexts made of files, and made anew when the files change, without a connection being dropped.

A connection that is open keeps what it was begun with. Each new handshake takes the context of the moment; of a pair
that cannot be used nothing is taken, and the former one serves on.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from garrison.identity.certificates import fingerprint_of
from garrison.kernel.errors import GarrisonError, Invalid

Demand = Literal["none", "optional", "required"]

log = logging.getLogger("garrison.tls")

_VERIFY: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True)
class TlsFiles:
    """`own_clients`: certificates of our own command line, taken beside the authorities'."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    demand: Demand = "none"
    own_clients: Path | None = None

    def marks(self) -> tuple[object, ...]:
        """Others whenever a file was replaced or written to."""
        return tuple(_mark(path) for path in (self.certificate, self.key, self.client_ca, self.own_clients) if path)


@dataclass(frozen=True)
class Tls:
    """What new connections are served with."""

    context: ssl.SSLContext
    leaf: x509.Certificate
    authorities: tuple[x509.Certificate, ...]


def load_tls(files: TlsFiles) -> Tls:
    """Raises `Invalid`, naming the file and what is wrong with it; never what is in it."""
    chain = _certificates(files.certificate)
    _check_key(files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        message = f"{files.certificate} and {files.key} cannot be used together"
        raise Invalid(
            "tls.pair", message, f"the key must be the certificate's, without a passphrase: {_why(error)}"
        ) from error
    authorities: tuple[x509.Certificate, ...] = ()
    if files.demand != "none":
        authorities = _trust(context, files)
    return Tls(context, chain[0], authorities)


class TlsEdge:
    """`context` is what a listener is opened with; what it serves can be renewed at any time."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises `Invalid` as `load_tls` does."""
        self._files = files
        self._marks = files.marks()
        self.now = load_tls(files)
        self.context = load_tls(files).context
        self.context.sni_callback = self._take_present
        self.problem = ""
        """Why what the files say now is not served; empty while it is."""
        self._listeners: list[Callable[[Tls], None]] = []

    def on_renewed(self, listener: Callable[[Tls], None]) -> None:
        self._listeners.append(listener)

    def look(self, *, always: bool = False) -> None:
        """Take over what has changed in the files; what cannot be used is logged once and not taken."""
        marks = self._files.marks()
        if marks == self._marks and not always:
            return
        self._marks = marks
        try:
            self.now = load_tls(self._files)
        except GarrisonError as error:
            log.error("the new certificate cannot be used; the former serves on", extra={"why": error.message})
            self.problem = error.message
            return
        self.problem = ""
        log.info("certificates were read again", extra={"sha256": fingerprint_of(self.now.leaf)})
        for listener in self._listeners:
            listener(self.now)

    def _take_present(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called by OpenSSL in each handshake, with or without a name."""
        connection.context = self.now.context


def leaf_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _trust(context: ssl.SSLContext, files: TlsFiles) -> tuple[x509.Certificate, ...]:
    if files.client_ca is None:
        raise Invalid("tls.no_authority", "client certificates are asked for, and nobody is trusted", "edge.client_ca")
    authorities = _certificates(files.client_ca)
    own = _certificates(files.own_clients) if files.own_clients is not None else []
    context.verify_mode = _VERIFY[files.demand]
    context.num_tickets = 0  # what a resumed session rests on is not looked at again
    context.options |= ssl.OP_NO_TICKET
    context.load_verify_locations(cadata="".join(leaf_pem(one).decode() for one in (*authorities, *own)))
    return tuple(authorities)


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise Invalid(
            "tls.unreadable", f"{path} cannot be read: {error.strerror}", "check its path and mode"
        ) from error
    except ValueError as error:
        raise Invalid(
            "tls.not_pem", f"{path} holds no certificate", "it must be PEM: -----BEGIN CERTIFICATE-----"
        ) from error


def _check_key(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise Invalid(
            "tls.unreadable", f"{path} cannot be read: {error.strerror}", "check its path and mode"
        ) from error
    if mode & 0o077:
        raise Invalid("tls.key_open", f"{path} can be read by others", f"chmod 600 {path}")


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", "") or getattr(error, "strerror", "") or error).replace("_", " ").lower()


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
