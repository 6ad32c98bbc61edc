"""From an instance to a connection: the shared one that the supervisor watches, and further ones of clients' own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from garrison.catalog.spec import ServerSpec, Transport
from garrison.identity.oauth.credentials import Credentials, fixed_headers
from garrison.identity.oauth.held import SignInNeeded
from garrison.kernel.clock import Clock
from garrison.kernel.errors import GarrisonError, TimedOut, Unavailable
from garrison.kernel.ids import Ids
from garrison.protocol.connection import Connection
from garrison.protocol.transports.credentials import Credential
from garrison.protocol.transports.http import HttpTransport
from garrison.protocol.transports.outbound import Outbound, Way
from garrison.protocol.transports.sse import SseTransport
from garrison.protocol.transports.stdio import StdioTransport
from garrison.runtimes import crew
from garrison.runtimes.driver import Capability, Driver
from garrison.runtimes.instance import HttpEndpoint, Instance
from garrison.runtimes.slots import StartSlots
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics


class Connector:
    """Makes the connection that suits an instance; remembers which servers cannot bear the era probe.

    `identity` is our `clientInfo`.
    """

    def __init__(
        self,
        identity: Mapping[str, Any],
        outbound: Outbound | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._credentials = credentials
        self._identity = dict(identity)
        self._outbound = outbound or Outbound()
        self._legacy_only: set[str] = set()

    def __call__(self, instance: Instance) -> Connection:
        """The shared connection of an instance: it declares no capabilities, for it speaks for nobody in particular."""
        name, endpoint = instance.server, instance.endpoint
        connection = self.connect(instance, {}, legacy_only=name in self._legacy_only)
        if not isinstance(endpoint, HttpEndpoint):
            connection.on_closed(lambda reason: self._judge(name, connection))
        return connection

    def connect(
        self, instance: Instance, capabilities: Mapping[str, Any], *, legacy_only: bool, principal: str = ""
    ) -> Connection:
        """`principal`: whose credential the server is shown; none: that of the connection which all share."""
        name, endpoint, identity = instance.server, instance.endpoint, self._identity
        credential = self._credential(instance.spec, principal)
        if not isinstance(endpoint, HttpEndpoint):
            assert isinstance(endpoint.channel, StdioTransport)
            carrier: StdioTransport | SseTransport | HttpTransport = endpoint.channel
        elif endpoint.kind == "sse":
            headers, way = fixed_headers(instance.spec), self._way(instance)
            carrier = SseTransport(endpoint.url, headers, label=name, way=way, credential=credential)
            legacy_only = True
        else:
            headers, way = fixed_headers(instance.spec), self._way(instance)
            carrier = HttpTransport(endpoint.url, headers, label=name, way=way, credential=credential)
        connection = Connection(
            carrier,
            identity,
            label=name,
            legacy_only=legacy_only,
            capabilities=capabilities,
            prepare=credential.ready if credential is not None else None,
        )
        if not isinstance(endpoint, HttpEndpoint):
            connection.count_from(endpoint.first_id)
        return connection

    def _credential(self, spec: ServerSpec, principal: str) -> Credential | None:
        return self._credentials.of(spec, principal) if self._credentials is not None else None

    def _way(self, instance: Instance) -> Way:
        """How far a server's address may lead: it is the administrator who wrote it."""
        return self._outbound.way("private" if instance.spec.allow_private else "written")

    def _judge(self, name: str, connection: Connection) -> None:
        """A server that dies in the handshake may have died of the probe: the next start leaves it out."""
        if not connection.info.version:
            self._legacy_only.symmetric_difference_update({name})


class ConnectionTimes:
    """How long our connections to servers live: `mcp.client.session.duration`."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        about = "How long connections to servers lived."
        self._durations = metrics.histogram(
            names.CLIENT_SESSION_DURATION, about, (names.SERVER, names.PROTOCOL_VERSION)
        )
        self._clock = clock

    def watch(self, connection: Connection) -> None:
        """Count an open connection when it ends."""
        began_s = self._clock.monotonic_s()
        cell = self._durations.cell(connection.label, connection.info.version)
        connection.on_closed(lambda reason: cell.observe(self._clock.monotonic_s() - began_s))


class Dialer:
    """Opens connections of clients' own: another process for a server behind pipes, another session over HTTP.

    `spec_of` gives a server's spec with its references resolved, and raises what is wrong with them. `places` says
    which of a server's addresses are to be tried, by the numbers of their instances; 0 where there is but one.
    """

    def __init__(
        self,
        drivers: Mapping[Transport, Driver],
        connector: Connector,
        spec_of: Callable[[str], ServerSpec],
        ids: Ids,
        times: ConnectionTimes,
        slots: StartSlots,
        places: Callable[[str], Sequence[int]] = lambda server: (0,),
    ) -> None:
        self._places = places
        self._slots = slots
        self._drivers = drivers
        self._connector = connector
        self.spec_of = spec_of
        self._ids = ids
        self._times = times
        self._stopping: set[asyncio.Task[None]] = set()

    async def __call__(self, server: str, capabilities: Mapping[str, Any], principal: str = "") -> Connection:
        """An open connection; when it closes, its instance is stopped. Raises typed errors.

        It speaks the legacy era; with a `principal`, whose credential it then shows, whichever the server speaks.
        """
        spec = self.spec_of(server)
        driver = self._drivers[spec.transport]
        if Capability.SPAWNS not in driver.capabilities:
            return await self._open_somewhere(driver, spec, capabilities, principal)
        release = await self._slots.take()
        try:
            return await self._open(driver, spec, capabilities)
        finally:
            release()

    async def _open_somewhere(
        self, driver: Driver, spec: ServerSpec, capabilities: Mapping[str, Any], principal: str
    ) -> Connection:
        """At the first of its addresses that answers; calls on the connection then stay there."""
        failure: GarrisonError | None = None
        for number in self._places(spec.name):
            try:
                connection = await self._open(driver, crew.spec_of(spec, number), capabilities, principal)
            except SignInNeeded:
                raise  # at none of its addresses will that be otherwise
            except (Unavailable, TimedOut) as error:
                failure = failure or error
            else:
                connection.instance = number
                return connection
        raise failure or Unavailable("server.unavailable", f"no instance of server {spec.name} serves")

    async def _open(
        self, driver: Driver, spec: ServerSpec, capabilities: Mapping[str, Any], principal: str = ""
    ) -> Connection:
        instance = await driver.start(spec, self._ids.new())
        connection = self._connector.connect(instance, capabilities, legacy_only=not principal, principal=principal)
        try:
            await connection.open(spec.startup_timeout_s)
        except BaseException:
            await connection.close()
            await driver.stop(instance)
            raise
        connection.on_closed(lambda reason: self._stop(driver, instance))
        self._times.watch(connection)
        return connection

    async def settled(self) -> None:
        """Wait until every instance whose connection has closed is gone."""
        await asyncio.gather(*self._stopping, return_exceptions=True)

    def _stop(self, driver: Driver, instance: Instance) -> None:
        task = asyncio.ensure_future(driver.stop(instance))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
