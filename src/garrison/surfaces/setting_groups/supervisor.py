"""Settings of the supervisor: how the health of servers is watched."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class SupervisorSettings(msgspec.Struct, frozen=True, kw_only=True):
    health_interval_s: Annotated[
        float, Meta(gt=0, description="Seconds between two pings on a server's live connection.")
    ] = 10.0
    health_timeout_s: Annotated[float, Meta(gt=0, description="Seconds that a ping may take.")] = 5.0
    health_failures_max: Annotated[
        int,
        Meta(
            ge=1,
            description="Pings in a row without an answer after which a server is restarted; one lost ping is "
            "no reason.",
        ),
    ] = 3
