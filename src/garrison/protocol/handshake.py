"""Finding out what a server speaks: `server/discover` first, `initialize` when that is not understood.

Any answer that is not a modern one means that the server is of the legacy era, and so does silence (a server may
simply not answer what it does not know). The evidence of a slow starter is judged as it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Raw

from garrison.kernel.errors import GarrisonError, Invalid, TimedOut, Unsupported
from garrison.protocol import codes, methods
from garrison.protocol.headers import Headers
from garrison.protocol.messages import EMPTY, RpcError, decode_any, raw
from garrison.protocol.versions import LATEST_LEGACY, LATEST_MODERN, LEGACY_VERSIONS, MODERN_VERSIONS, Era

PROBE_GRACE_S = 5.0
"""How long `server/discover` stays unanswered before `initialize` is tried beside it."""


class ServerInfo(msgspec.Struct, frozen=True):
    """What a server said of itself in the handshake."""

    era: Era
    version: str
    name: str = ""
    server_version: str = ""
    capabilities: dict[str, Any] = {}
    instructions: str = ""
    server: Raw = EMPTY
    """`serverInfo` in full."""


class Refused(Invalid):
    """The server answered with a JSON-RPC error, kept in `error`."""

    def __init__(self, label: str, error: RpcError) -> None:
        super().__init__("server.refused", f"server {label} answered with error {error.code}: {error.message[:300]}")
        self.error = error


class Introduction(NamedTuple):
    """How we present ourselves: `clientInfo`, and the capabilities of the client behind us."""

    client: dict[str, Any]
    capabilities: dict[str, Any]


class Asks(Protocol):
    """The part of a connection that the handshake needs."""

    label: str

    @property
    def closed(self) -> str | None: ...

    async def ask_raw(self, method: str, params: Mapping[str, Raw], headers: Headers) -> Raw: ...


async def negotiate(connection: Asks, me: Introduction, *, legacy_only: bool) -> ServerInfo:
    """Shake hands in the newest era that the server speaks. Raises the typed error of the last attempt."""
    if legacy_only:
        return await _initialize(connection, me)
    probe = asyncio.ensure_future(_discover_in_common(connection, me))
    try:
        done, _ = await asyncio.wait({probe}, timeout=PROBE_GRACE_S)
        if not done:
            return await _race(probe, connection, me)
    finally:
        await _give_up(probe)
    return await _judge(probe, connection, me)


def modern_meta(version: str, me: Introduction) -> dict[str, Any]:
    """The `_meta` that every request of ours to a modern server carries."""
    return {
        methods.META_VERSION: version,
        methods.META_CAPABILITIES: me.capabilities,
        methods.META_CLIENT_INFO: me.client,
    }


async def _judge(probe: asyncio.Future[ServerInfo], connection: Asks, me: Introduction) -> ServerInfo:
    error = probe.exception()
    if error is None:
        return probe.result()
    if not isinstance(error, GarrisonError) or connection.closed is not None or error.code == "server.auth_needed":
        raise error
    return await _initialize(connection, me)  # it lives, but did not answer in the modern way (a 500 counts too)


async def _race(probe: asyncio.Future[ServerInfo], connection: Asks, me: Introduction) -> ServerInfo:
    handshake = asyncio.ensure_future(_initialize(connection, me))
    waiting = {probe, handshake}
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            answered = [attempt for attempt in done if attempt.exception() is None]
            if answered:
                return probe.result() if probe in answered else handshake.result()
        return handshake.result()
    finally:
        await _give_up(handshake)


async def _give_up(attempt: asyncio.Future[ServerInfo]) -> None:
    """End an attempt, and wait until it has: what it cleans up belongs to the handshake."""
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)


async def _discover_in_common(connection: Asks, me: Introduction) -> ServerInfo:
    """Discover in our newest revision, or, where the server names others that we speak, once more in one of them."""
    try:
        return await _discover(connection, me, LATEST_MODERN)
    except Refused as refused:
        version = _version_in_common(refused.error)
        if version is None:
            raise
        return await _discover(connection, me, version)


def _version_in_common(error: RpcError) -> str | None:
    """The newest modern revision that a `-32022` error says is supported, if we speak it."""
    if error.code != codes.UNSUPPORTED_VERSION or error.data is UNSET:
        return None
    supported = _object(error.data).get("supported")
    named = supported if isinstance(supported, list) else []
    return next((version for version in reversed(MODERN_VERSIONS) if version in named), None)


async def _discover(connection: Asks, me: Introduction, version: str) -> ServerInfo:
    params = {"_meta": raw(modern_meta(version, me))}
    headers = Headers({"mcp-protocol-version": version, "mcp-method": methods.DISCOVER})
    found = _object(await connection.ask_raw(methods.DISCOVER, params, headers))
    versions = found.get("supportedVersions")
    mutual = [version for version in MODERN_VERSIONS if isinstance(versions, list) and version in versions]
    if not mutual:
        message = f"server {connection.label} offers no modern revision that we speak"
        raise Unsupported("server.no_modern_version", message)
    meta = found.get("_meta")
    server = meta.get(methods.META_SERVER_INFO) if isinstance(meta, dict) else None
    return _info("modern", mutual[-1], found, server)


async def _initialize(connection: Asks, me: Introduction) -> ServerInfo:
    asked = {"protocolVersion": LATEST_LEGACY, "capabilities": me.capabilities, "clientInfo": me.client}
    params = {key: raw(value) for key, value in asked.items()}
    found = _object(await connection.ask_raw(methods.INITIALIZE, params, Headers()))
    version = found.get("protocolVersion")
    if version not in LEGACY_VERSIONS:
        message = f"server {connection.label} speaks protocol revision {str(version)[:40]!r}, which we do not"
        raise Unsupported("server.unknown_version", message, f"known are {', '.join(LEGACY_VERSIONS)}")
    return _info("legacy", version, found, found.get("serverInfo"))


def _object(result: Raw) -> dict[str, Any]:
    """The result's members; none where it is no object."""
    try:
        found = decode_any(result)
    except (msgspec.MsgspecError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _info(era: Era, version: str, found: dict[str, Any], server: object) -> ServerInfo:
    named = server if isinstance(server, dict) else {}
    capabilities = found.get("capabilities")
    return ServerInfo(
        era=era,
        version=version,
        name=str(named.get("name", "")),
        server_version=str(named.get("version", "")),
        capabilities=capabilities if isinstance(capabilities, dict) else {},
        instructions=str(found.get("instructions") or ""),
        server=raw(named),
    )


def handshake_timeout(label: str, timeout_s: float) -> TimedOut:
    message = f"server {label} did not finish the MCP handshake within {timeout_s:g} s"
    return TimedOut("server.handshake_timeout", message, "is it an MCP server? see its log")
