"""The client certificate of a connection, and whom it names at this moment."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from garrison.identity.certificates import Certificates, Presented, fingerprint_of, read_certificate
from garrison.identity.principals import Principal
from garrison.surfaces.edge.tls import Tls, TlsEdge


class Peer:
    """`principal` follows the certificate's end and what garrison.yaml says of it."""

    def __init__(self, presented: Presented, certificates: Certificates, wall_ns: Callable[[], int]) -> None:
        self.presented = presented
        self._certificates = certificates
        self._wall_ns = wall_ns
        self._edition: object = None
        self._found: Principal | None = None

    def principal(self) -> Principal | None:
        now_ns = self._wall_ns()
        if self._edition is not self._certificates.edition or now_ns >= self.presented.ends_ns:
            self._edition = self._certificates.edition
            self._found = self._certificates.principal(self.presented, now_ns)
        return self._found


class Witness:
    """Looks at whom a new connection is with."""

    def __init__(self, tls: TlsEdge, certificates: Certificates, wall_ns: Callable[[], int]) -> None:
        self._tls = tls
        self._certificates = certificates
        self._wall_ns = wall_ns

    def meets(self, transport: asyncio.Transport) -> Peer | None:
        """None where no certificate was shown."""
        connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True) if connection is not None else None
        presented = read_certificate(der, self._tls.now.authorities) if der else None
        return Peer(presented, self._certificates, self._wall_ns) if presented is not None else None


def is_trusted_by(peer: Peer, tls: Tls) -> bool:
    """Whether the authority that vouched for it still does; of one between the two that is not known."""
    return peer.presented.authority in {fingerprint_of(one) for one in tls.authorities}
