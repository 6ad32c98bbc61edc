"""Settings of pins: what servers are held to."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class PinSettings(msgspec.Struct, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["off", "warn", "enforce"],
        Meta(
            description="enforce: what differs from its pin in garrison.lock is held: neither shown nor called until "
            "it is approved. warn: it is only told of. off: nothing is pinned."
        ),
    ] = "enforce"
    first_use: Annotated[
        Literal["trust", "approve"],
        Meta(
            description="What a server offers for the first time: trust: is pinned as it is, unless the scanner finds "
            "something bad in it. approve: is held until somebody approves it."
        ),
    ] = "trust"
    check_s: Annotated[
        float,
        Meta(ge=0, description="Seconds after which lists are read again without being asked for; 0: never."),
    ] = 60.0
