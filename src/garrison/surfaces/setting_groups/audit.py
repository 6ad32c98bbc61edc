"""Settings of what is made of the ledger: where it is forwarded to, and whether bodies are kept."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True):
    forward: Annotated[
        str,
        Meta(
            description="A syslog receiver that gets every entry as it comes: syslog+tls://HOST:6514, syslog+tcp or "
            "syslog+udp; empty: none. While it is away the ledger is the queue, and calls go on."
        ),
    ] = ""
    forward_format: Annotated[
        Literal["syslog", "cef", "ocsf"],
        Meta(description="What a message says: structured data and a sentence, or an event of that format."),
    ] = "syslog"
    forward_ca: Annotated[
        str, Meta(description="PEM file of authorities for the receiver's certificate; empty: the system's.")
    ] = ""
    forward_certificate: Annotated[
        str, Meta(description="PEM file of our own certificate, where the receiver asks for one.")
    ] = ""
    forward_key: Annotated[str, Meta(description="PEM file of its key, where it is not in the same file.")] = ""
    bodies: Annotated[
        Literal["off", "requests", "responses", "both"],
        Meta(
            description="Whether arguments and results of calls are kept, encrypted for each principal. Off, because "
            "what is not kept cannot leak; on, these calls take the long way."
        ),
    ] = "off"
    bodies_servers: Annotated[
        tuple[str, ...], Meta(description="Patterns of the servers whose bodies are kept, where any are.")
    ] = ("*",)
    body_bytes_max: Annotated[
        int,
        Meta(
            ge=256,
            le=16 * 1024 * 1024,
            description="Bytes of one kept body (default 64 KiB); of a longer one the beginning is kept.",
        ),
    ] = 64 * 1024
