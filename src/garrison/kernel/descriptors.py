"""File descriptors: every connection takes one, and the soft limit that processes begin with is often 1,024.

The node raises its own up to the hard limit; what it starts gets back what the node itself was given, because programs
that close all possible descriptors, or use select(2), suffer from a high one.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Final

from garrison.kernel.errors import Unavailable

RESERVED: Final = 512
"""Kept free of streams: for calls, servers (four each), the ledger and the logs."""
LEAST: Final = 256
"""With fewer nothing useful can be served."""
_GIVEN: Final = resource.getrlimit(resource.RLIMIT_NOFILE)


def limit() -> int:
    """How many may be open in this process."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def raise_limit() -> int:
    """Up to the hard limit, which nobody but root can pass. Raises `Unavailable` where that is too low to serve."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if _finite(hard) < LEAST:
        message = f"this process may open {hard} files at most, and needs {LEAST}"
        hint = "raise the hard limit: `ulimit -Hn`, or LimitNOFILE= of systemd"
        raise Unavailable("descriptors.too_few", message, hint)
    return limit()


def room_for(streams: int, descriptors: int) -> int:
    """So many of the streams wanted fit; some do, however low the limit."""
    return min(streams, max(descriptors - RESERVED, descriptors // 4))


def giving_back() -> Callable[[], None]:
    """A function for a child to call between fork and exec: it begins with the limits that we were given."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, _GIVEN)


def _finite(number: int) -> int:
    return 1 << 20 if number == resource.RLIM_INFINITY else number
