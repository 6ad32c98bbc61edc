"""What is said on the way to a server whose process another worker owns, before JSON-RPC begins and when it ends."""

from __future__ import annotations

import msgspec

LEAVING = b"leaving"
"""A line of its own: the instance is about to be ended, and wants no further calls."""


class Wanted(msgspec.Struct):
    """The first line of who dials. `is_own`: a process for it alone; `is_patient`: wait until the server runs."""

    worker: int
    server: str
    is_own: bool = False
    is_patient: bool = False


class Given(msgspec.Struct, omit_defaults=True):
    """The first line that comes back. `first_id`: where request ids begin, so that they differ from everybody's."""

    first_id: int = 0
    pid: int = 0
    error: str = ""
    hint: str = ""
