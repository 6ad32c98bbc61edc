"""Settings of calls that somebody has to approve."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ApprovalSettings(msgspec.Struct, frozen=True, kw_only=True):
    wait_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Seconds for which a call stays open until it is approved; then its client is told to call "
            "again. 0: at once.",
        ),
    ] = 45.0
    asked_s: Annotated[
        float, Meta(ge=1, le=604_800, description="Seconds for which a question can be answered; then it is over.")
    ] = 900.0
    approved_s: Annotated[
        float,
        Meta(ge=1, le=86_400, description="Seconds within which an approved call has to be made; then it is over."),
    ] = 300.0
    pending_max: Annotated[int, Meta(ge=1, description="Calls that may wait for approval at once.")] = 1000
