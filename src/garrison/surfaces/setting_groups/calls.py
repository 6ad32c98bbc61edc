"""Settings of calls: limits, breakers, instances, retries, kept answers."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    calls_per_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Sustained calls per second of one principal; 0: no limit. Stops a runaway loop, honest "
            "work never meets it.",
        ),
    ] = 10_000.0
    burst: Annotated[int, Meta(ge=1, description="Calls that a principal may make at once after a rest.")] = 20_000
    concurrent_calls: Annotated[
        int, Meta(ge=0, description="Calls of one principal without an answer yet; 0: no limit.")
    ] = 1_000
    concurrent_calls_per_server: Annotated[
        int,
        Meta(
            ge=0,
            description="Calls to one server without an answer yet; 0: no limit. A slow server cannot hold everything.",
        ),
    ] = 1_000
    concurrent_calls_per_instance: Annotated[
        int,
        Meta(
            ge=0,
            description="Calls to one instance without an answer yet, of a server that has several; 0: no limit. What "
            "is more goes to the others.",
        ),
    ] = 500
    concurrent_calls_of_all: Annotated[
        int,
        Meta(
            ge=0,
            description="Calls of everybody together without an answer yet; 0: no limit. More are refused with 503 at "
            "once, so that those in flight can be finished.",
        ),
    ] = 5_000
    lag_s_max: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds by which the event loop may be late, twice in a row, before new calls are refused "
            "with 503; 0: no limit.",
        ),
    ] = 0.5
    sessions_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Share of a server's sessions_max that one principal may hold, one at least, so that the rest "
            "is there for the others.",
        ),
    ] = 0.75
    redis_url: Annotated[
        str,
        Meta(
            description="Redis or Valkey in which several gateways count the limits of garrison.yaml together: "
            "rediss://:${secret:NAME}@HOST:6379/0. Empty: each gateway counts for itself. Needs `garrison[redis]`.",
        ),
    ] = ""
    without_redis: Annotated[
        Literal["open", "closed"],
        Meta(
            description="While redis_url cannot be reached: open, each gateway counts for itself; closed, calls that "
            "shared limits concern are refused with 503.",
        ),
    ] = "open"


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    failed_share: Annotated[
        float,
        Meta(
            gt=0,
            description="Share of a server's calls within 10 s, once there are 20, that may fail before it is left "
            "alone; over 1: never. Only lost, late and impossible answers count, never a server's own errors.",
        ),
    ] = 0.5
    failed_in_a_row: Annotated[
        int, Meta(ge=0, description="Failures in a row after which a server is left alone; 0: never.")
    ] = 5
    open_first_s: Annotated[
        float,
        Meta(gt=0, description="Seconds for which it is left alone at first; doubled each time it fails its trial."),
    ] = 30.0
    open_max_s: Annotated[
        float, Meta(gt=0, description="Seconds for which it is left alone at most, so that a recovery is noticed.")
    ] = 300.0


class SpreadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How calls are spread over the instances of a server that has several."""

    failed_in_a_row: Annotated[
        int,
        Meta(ge=0, description="Failures in a row after which an instance is left out for a while; 0: never."),
    ] = 3
    slower_times: Annotated[
        float,
        Meta(
            ge=0,
            description="An instance whose calls take so many times as long as the others' (median of the last 32) is "
            "left out for a while; 0: never.",
        ),
    ] = 5.0
    ejected_share_max: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of a server's instances that may be left out at once for standing out; one at least, "
            "if there are two, and never all of them. 0: none.",
        ),
    ] = 0.5
    eject_first_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Seconds for which an instance is left out at first; doubled each time it fails its trial.",
        ),
    ] = 10.0
    eject_max_s: Annotated[float, Meta(gt=0, description="Seconds for which it is left out at most.")] = 300.0


class RetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    retries_max: Annotated[
        int,
        Meta(
            ge=0,
            le=10,
            description="How often a call is made again that failed where nothing can have happened twice; 0: never.",
        ),
    ] = 2
    budget_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Retries per call of a server that are allowed in the long run, so that they "
            "cannot become a storm.",
        ),
    ] = 0.2


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    entries_max: Annotated[
        int,
        Meta(
            ge=0,
            description="Answers that are kept where their server allows it (ttlMs); 0: none. They never cross "
            "from one principal to another unless the server calls them public.",
        ),
    ] = 1_000
    size_bytes_max: Annotated[
        int, Meta(ge=0, description="Bytes of all kept answers (default 32 MiB); the least used go first.")
    ] = 32 * 1024 * 1024
