"""Settings of the edge: where we listen, to whom, and how much at once."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    listen: Annotated[
        str,
        Meta(
            pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+):\d{1,5}$",
            description="HOST:PORT of the one listener; port 0 takes a free one. Loopback by default: what nobody else "
            "can reach, nobody else can attack.",
        ),
    ] = "127.0.0.1:8420"
    hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names by which clients may address us (Host header), besides loopback and the listen host; "
            "others are refused, which stops DNS rebinding."
        ),
    ] = ()
    origins: Annotated[
        tuple[str, ...],
        Meta(description="Web origins (https://app.example) whose pages may call us; none by default."),
    ] = ()
    public_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/\s?#]+)?$",
            description="The URL that clients reach us by, without a path (https://mcp.example). Tokens for it are for "
            "us, and OAuth's metadata names it. Unless given, the listener's own URL.",
        ),
    ] = ""
    allow_plaintext: Annotated[
        bool,
        Meta(
            description="Listen beyond loopback without TLS: only behind a proxy that adds it. Off, because keys "
            "would travel readable."
        ),
    ] = False
    tls_certificate: Annotated[
        str,
        Meta(
            description="PEM file of the certificate that clients are shown, with its chain; TLS is spoken as soon as "
            "it is set. Read again when it changes. `garrison tls new` makes one for trials.",
        ),
    ] = ""
    tls_key: Annotated[
        str, Meta(description="PEM file of its private key, without a passphrase; only its owner may read it (0600).")
    ] = ""
    client_ca: Annotated[
        str, Meta(description="PEM file of the authorities whose client certificates are taken (mutual TLS).")
    ] = ""
    client_certificates: Annotated[
        Literal["none", "optional", "required"],
        Meta(
            description="Whether clients show certificates; `certificates:` of garrison.yaml makes principals of them. "
            "required: nobody gets as far as a request without one.",
        ),
    ] = "none"
    connections: Annotated[
        int,
        Meta(
            ge=1,
            description="Connections of clients that one process keeps open; more are refused at once. Where "
            "`ulimit -Hn` allows fewer, fewer are taken.",
        ),
    ] = 20_000
    connections_per_address: Annotated[
        int,
        Meta(
            ge=0,
            description="Connections of one address that is not this machine's; 0: no limit, for behind a proxy.",
        ),
    ] = 2_000
    body_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=1 << 30,
            description="Bytes of one request's body (default 4 MiB); more is refused with 413, "
            "so that nobody fills the memory.",
        ),
    ] = 4 * 1024 * 1024
    streams: Annotated[
        int,
        Meta(
            ge=1,
            description="Event streams that clients may keep open, all together; each takes a file descriptor and some "
            "KB. Where `ulimit -Hn` allows fewer, fewer are taken.",
        ),
    ] = 15_000
    streams_per_principal: Annotated[
        int, Meta(ge=1, description="Event streams of one principal, so that nobody takes all there are.")
    ] = 10_000
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=32,
            description="Processes that serve the address together, each on a core of its own. One by default: "
            "a second pays off once one core is not enough.",
        ),
    ] = 1
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Seconds that calls in flight may take to finish at a stop; then they are "
            "answered with an error.",
        ),
    ] = 30.0
