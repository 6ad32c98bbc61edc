"""Settings of what is written down: ledger and logs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class LedgerGroup(msgspec.Struct, frozen=True, kw_only=True):
    durability: Annotated[
        Literal["batched", "strict"],
        Meta(
            description="strict: a call waits until its entry is on disk. batched: entries are written every window_s; "
            "a killed process loses none, a power cut at most that."
        ),
    ] = "batched"
    window_s: Annotated[
        float, Meta(gt=0, le=10, description="Seconds for which `batched` collects entries before it writes them.")
    ] = 0.05
    url: Annotated[
        str,
        Meta(
            description="Where entries are kept: empty for the home's own SQLite, or `postgresql://USER@HOST/DB`. "
            "A password only as `${secret:NAME}` or `${VARIABLE}`, or by libpq's own means (PGPASSFILE)."
        ),
    ] = ""
    checkpoint_entries: Annotated[
        int, Meta(ge=1, description="Entries after which a checkpoint is signed, and one at every shutdown.")
    ] = 10_000
    checkpoint_s: Annotated[
        float, Meta(gt=0, description="Seconds after which a checkpoint is signed, if there is anything new.")
    ] = 300.0
    retention_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="Days after which calls and refusals lose their content; 0: never. Hashes stay, so that the "
            "log verifies; changes and what is under a hold stay whole.",
        ),
    ] = 0


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least important lines that garrison.log keeps."),
    ] = "info"
    size_bytes_max: Annotated[
        int,
        Meta(
            ge=64 * 1024,
            description="Bytes of garrison.log (default 10 MiB) before it is rotated; five older ones are kept.",
        ),
    ] = 10 * 1024 * 1024
