"""By what our own command line knows a node that speaks TLS, and is known to it."""

from __future__ import annotations

import ssl
from pathlib import Path

from garrison.kernel.home import Home


def served_certificate(home: Home) -> Path:
    """Written by the node with each certificate that it begins to serve."""
    return home.run / "edge.pem"


def client_context(home: Home) -> ssl.SSLContext | None:
    """For our own command line: trusts the one certificate that the node serves. None for a node without TLS."""
    served = served_certificate(home)
    if not served.exists():
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is this very certificate that is looked for, whatever names it bears
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=served)
    own = cli_credential(home)
    if own.exists():
        context.load_cert_chain(own)
    return context


def cli_credential(home: Home) -> Path:
    return home.run / "cli.pem"
