"""Who is asking."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    failures_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            description="Wrong keys and tokens that one address may present in a minute before the next are answered "
            "with 429; 0: no limit. Right keys are served whatever others of the same address do.",
        ),
    ] = 60
