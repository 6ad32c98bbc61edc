"""Our own connections to others: names are resolved once, every address is judged, and only a judged one is dialled.

Nothing else in Garrison opens a connection to where a catalog, a server or a token points. TLS is verified against the
name. Proxies that the environment names are not used: behind one, nobody could say where a connection leads.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from garrison.kernel.errors import Denied, GarrisonError
from garrison.protocol.addresses import Naming, Rules, checked, literal, plain_host
from garrison.protocol.transports.origin import Origin

CONNECT_TIMEOUT_S = 10.0
ADDRESSES_MAX = 16
"""More than these of one name are not tried."""
ATTEMPT_S_MIN = 1.0

P = TypeVar("P", bound=asyncio.Protocol)
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, the best first. Raises `OSError` when it has none."""


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """As the machine's own resolver has them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def usual_tls() -> ssl.SSLContext:
    """Who is trusted on this machine, hostnames verified; one for all connections, since reading it takes long."""
    return _tls(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))


@lru_cache(maxsize=4)
def _tls(file: str, folder: str) -> ssl.SSLContext:
    """OpenSSL looks at these two variables itself."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class Outbound:
    """`rules` say what may be reached; `resolve` finds addresses."""

    rules: Rules = field(default_factory=Rules)
    resolve: Resolve = system_addresses

    async def addresses(self, origin: Origin, naming: Naming) -> list[str]:
        """Where to connect to. Raises `Denied` when any address of the name must not be reached, or `OSError`."""
        given = literal(origin.host)
        texts = [str(given)] if given is not None else await self.resolve(origin.host, origin.port)
        if not texts:
            raise OSError(f"{origin.host} has no address")
        judge(self.rules, origin.host, texts, naming)
        return list(texts)[:ADDRESSES_MAX]

    async def open(self, make: Callable[[], P], origin: Origin, naming: Naming, tls: ssl.SSLContext | None) -> P:
        """A connection to the first address that takes it. Raises `Denied`, `OSError` or `TimeoutError`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_TIMEOUT_S
        async with asyncio.timeout_at(deadline):
            left = await self.addresses(origin, naming)
        while True:
            address = left.pop(0)
            wait_s = deadline - loop.time()
            try:
                async with asyncio.timeout(max(wait_s / (len(left) + 1), ATTEMPT_S_MIN)):
                    name = origin.host if tls is not None else None
                    made = await loop.create_connection(make, address, origin.port, ssl=tls, server_hostname=name)
                return made[1]
            except (OSError, TimeoutError):
                if not left:
                    raise

    def way(self, naming: Naming) -> Way:
        return Way(self, naming)


@dataclass(frozen=True)
class Way:
    """How to get to hosts that were all named by the same one."""

    outbound: Outbound = field(default_factory=Outbound)
    naming: Naming = "written"

    async def open(self, make: Callable[[], P], origin: Origin, tls: ssl.SSLContext | None) -> P:
        return await self.outbound.open(make, origin, self.naming, tls)


def judge(rules: Rules, host: str, addresses: Sequence[str], naming: Naming) -> None:
    """Raises `Denied` when any address that the host stands for must not be reached."""
    is_literal = literal(host) is not None
    for address in checked(addresses):
        objection = rules.objection(address, host, naming)
        if objection:
            raise refused(host, "" if is_literal else str(address), objection, naming)


def addresses_now(rules: Rules, host: str, port: int, naming: Naming) -> list[str]:
    """The same for who has a thread of his own: it blocks. `host` as it was written. Raises as `Outbound.addresses`."""
    plain = plain_host(host)
    found = socket.getaddrinfo(plain, port, type=socket.SOCK_STREAM)
    texts = list(dict.fromkeys(str(address[0]) for *_, address in found))
    judge(rules, plain, texts, naming)
    return texts


def refused(host: str, address: str, objection: str, naming: Naming) -> Denied:
    """What is told of a host that must not be reached; `address` is empty where the host is one itself."""
    stands_for = f"{host} stands for {address}" if address else host
    message = f"no connection is made to {stands_for}: {objection}"
    if naming == "written" and address:
        hint = "if you mean it, write `allow_private: true` for this server, or list its network in outbound.allow"
    else:
        hint = "if you mean it, list its network in the setting outbound.allow"
    return Denied("outbound.refused", message, hint)


def why_not(error: OSError | GarrisonError) -> str:
    """Why there is no connection, as part of a sentence."""
    if isinstance(error, GarrisonError):
        return f"{error.message} ({error.hint})"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
