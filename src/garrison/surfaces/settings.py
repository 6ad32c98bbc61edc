"""The settings of a fleet's processes: one group per room. Static: a change needs `garrison down` and `up`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from garrison.kernel.errors import Invalid
from garrison.kernel.settings import LoadedSettings, SettingProblem, load_settings


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
    allow_plaintext: Annotated[
        bool,
        Meta(
            description="Listen beyond loopback without TLS: only behind a proxy that adds it. Off, because keys "
            "would travel readable."
        ),
    ] = False
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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    edge: EdgeSettings = EdgeSettings()
    limits: LimitSettings = LimitSettings()
    breaker: BreakerSettings = BreakerSettings()
    spread: SpreadSettings = SpreadSettings()
    retry: RetrySettings = RetrySettings()
    cache: CacheSettings = CacheSettings()
    ledger: LedgerGroup = LedgerGroup()
    logs: LogSettings = LogSettings()
    supervisor: SupervisorSettings = SupervisorSettings()


def load(
    file: Mapping[str, Any], file_name: str, environment: Mapping[str, str], flags: Mapping[str, str]
) -> LoadedSettings[Settings]:
    """All layers; the rules between settings are checked as well."""
    loaded = load_settings(Settings, file=file, file_name=file_name, environment=environment, flags=flags)
    rule = _plaintext_rule(loaded)
    return replace(loaded, problems=(*loaded.problems, rule)) if rule else loaded


def listen_address(listen: str) -> tuple[str, int]:
    """`HOST:PORT` or `[IPv6]:PORT` in two. Raises `Invalid`."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Invalid(
            "settings.listen", f"{listen!r} is not HOST:PORT", "for example 127.0.0.1:8420, or port 0 for any"
        )
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _plaintext_rule(loaded: LoadedSettings[Settings]) -> SettingProblem | None:
    edge, origin = loaded.values.edge, loaded.origins["edge.listen"]
    host = edge.listen.rpartition(":")[0].strip("[]")
    if is_loopback(host) or edge.allow_plaintext:
        return None
    message = f"edge.listen: {host} can be reached by others, and keys would travel readable"
    hint = "listen on 127.0.0.1, or put a proxy with TLS in front and set edge.allow_plaintext"
    return SettingProblem("edge.listen", message, hint, origin)
