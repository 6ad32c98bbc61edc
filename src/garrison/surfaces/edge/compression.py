"""Compressed answers, where the client takes them and the body is large enough (RFC 9110, 8.4 and 12.5.3).

Only gzip, at its cheapest level: every client knows it, and it needs nothing beyond the standard library.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache

COMPRESS_FROM_BYTES = 8 * 1024
"""Below this a packet more or less decides nothing."""

THREAD_FROM_BYTES = 128 * 1024
"""Above this compressing takes longer than a millisecond, for which nobody else should wait."""

_LEVEL = 1
_GZIP_FORMAT = 31


def is_worth_it(body: bytes, headers: Mapping[str, str]) -> bool:
    """Large JSON; whoever caches it must know that it depends on `Accept-Encoding`."""
    return len(body) >= COMPRESS_FROM_BYTES and headers.get("content-type") == "application/json"


@lru_cache(maxsize=1024)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip is acceptable and not less welcome than the plain body."""
    weights = dict(_weight(part) for part in accept_encoding.lower().split(",")[:32])
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def new_stream() -> zlib._Compress:
    """For a body that comes in pieces."""
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)


def compress(body: bytes) -> bytes:
    stream = new_stream()
    return stream.compress(body) + stream.flush()


def compressed(body: bytes, then: Callable[[bytes], None]) -> None:
    """Hand the compressed body to `then`: at once, or from a thread when it is large."""
    if len(body) < THREAD_FROM_BYTES:
        then(compress(body))
        return
    waiting = asyncio.get_running_loop().run_in_executor(None, compress, body)
    waiting.add_done_callback(lambda done: None if done.cancelled() else then(done.result()))


def _weight(part: str) -> tuple[str, float]:
    """`gzip;q=0.5` → (`gzip`, 0.5); what cannot be read is not acceptable."""
    coding, _, parameter = part.partition(";")
    name, _, value = parameter.partition("=")
    if not parameter.strip():
        return coding.strip(), 1.0
    try:
        weight = float(value) if name.strip() == "q" else 0.0
    except ValueError:
        weight = 0.0
    return coding.strip(), weight if 0 <= weight <= 1 else 0.0
