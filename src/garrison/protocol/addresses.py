"""Where our own connections may lead: how a host may be written, and which addresses may be reached. Pure.

Tables after the IANA special-purpose registries (RFC 6890) and what clouds keep for their machines' metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from garrison.kernel.errors import Invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Kind = Literal[
    "public",
    "loopback",
    "private",
    "link-local",
    "shared",
    "metadata",
    "multicast",
    "unspecified",
    "documentation",
    "reserved",
    "translated",
]
"""`shared`: behind a carrier's NAT (RFC 6598). `translated`: another address is written into this one."""

Naming = Literal["written", "private", "found"]
"""Who named a host. `written`: the administrator, in the catalog. `private`: so, and he says that it is inside.
`found`: a server, a token or a redirect."""

INSIDE: Final = frozenset({"loopback", "private", "link-local", "shared"})
"""Kinds that the administrator may mean when he writes an address or a name that only counts inside."""

_KINDS: Final[tuple[tuple[Kind, tuple[str, ...]], ...]] = (  # the first that matches
    (
        "metadata",
        (
            *("169.254.169.0/24", "169.254.170.0/24", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
            *("fd00:ec2::/32", "fd20:ce::/32"),
        ),
    ),
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("shared", ("100.64.0.0/10",)),
    ("documentation", ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    (
        "translated",
        (
            *("192.88.99.0/24", "::ffff:0:0/96", "::ffff:0:0:0/96", "::/96"),
            *("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
        ),
    ),
    ("reserved", ("192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001::/23", "100::/64", "5f00::/16")),
)
_TABLE: Final = tuple((kind, ip_network(text)) for kind, texts in _KINDS for text in texts)
_UNICAST: Final = IPv6Network("2000::/3")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INSIDE_SUFFIXES: Final = (
    *("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa"),
    *("cluster.local", "svc", "test"),
)
"""Names below these mean something inside alone (RFC 6761, 6762, 8375, and what ICANN sets aside)."""


def kind_of(address: Address) -> Kind:
    """What kind of address this is; anything that no table knows is public (IPv4) or reserved (IPv6)."""
    for kind, network in _TABLE:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, IPv4Address):
        return "public"
    if address not in _UNICAST:
        return "reserved"
    return "translated" if _is_isatap(address) else "public"


def embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a translated one holds: all places where one may stand."""
    if isinstance(address, IPv4Address):
        return ()
    bits = int(address)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    last = IPv4Address(bits & 0xFFFFFFFF)
    if address in IPv6Network("64:ff9b:1::/48"):  # RFC 6052: also around the octet that is always zero
        return last, IPv4Address((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF), _sixty_four(bits)
    return (last,) if kind_of(address) == "translated" else ()


def _sixty_four(bits: int) -> IPv4Address:
    """The address that stands behind 64 bits of prefix."""
    return IPv4Address(bits >> 24 & 0xFFFFFFFF)


def _is_isatap(address: IPv6Address) -> bool:
    return int(address) >> 32 & 0xFDFFFFFF == 0x00005EFE


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks or single addresses. Raises `Invalid` for what is neither."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ip_network(text.strip()))
        except ValueError:
            hint = "for example 10.0.0.0/8 or fd12::/16"
            raise Invalid("outbound.network", f"{text[:60]!r} is no network", hint) from None
    return tuple(found)


@dataclass(frozen=True)
class Rules:
    """Which addresses may be reached. `deny` wins over everything; what is in `allow` may be reached by anybody."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    def objection(self, address: Address, host: str, naming: Naming) -> str:
        """Why this address, which `host` stands for, must not be reached; empty when it may."""
        if _within(address, self.deny) or any(_within(one, self.deny) for one in embedded(address)):
            return "it is denied by outbound.deny"
        kind = kind_of(address)
        if _within(address, self.allow):
            return self._through(address, kind)
        if kind == "public" or (kind in INSIDE and (naming == "private" or self._is_meant(host, kind, naming))):
            return ""
        return f"it is {_SAID[kind]}"

    def _through(self, address: Address, kind: Kind) -> str:
        """A translator that is allowed leads to what is public or allowed itself, and nowhere else."""
        if kind != "translated":
            return ""
        inner = [one for one in embedded(address) if kind_of(one) != "public" and not _within(one, self.allow)]
        return f"it leads to {inner[0]}, which is {_SAID[kind_of(inner[0])]}" if inner else ""

    def _is_meant(self, host: str, kind: Kind, naming: Naming) -> bool:
        return naming == "written" and (literal(host) is not None or is_inside_name(host))


_SAID: Final[dict[Kind, str]] = {
    "public": "public",
    "loopback": "this machine's own",
    "private": "a private network's",
    "link-local": "link-local",
    "shared": "behind a carrier's NAT",
    "metadata": "a cloud's metadata service",
    "multicast": "a multicast address",
    "unspecified": "no host's address",
    "documentation": "for documentation only",
    "reserved": "reserved",
    "translated": "another address in disguise",
}


def _within(address: Address, those: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in those)


def literal(host: str) -> Address | None:
    """The address that a plain host is; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_inside_name(host: str) -> bool:
    """Whether the name says by itself that it means something inside: no dots, or a suffix that nobody can register."""
    return "." not in host or host.endswith(tuple(f".{suffix}" for suffix in _INSIDE_SUFFIXES))


def plain_host(host: str) -> str:
    """A URL's host as it is resolved and compared: lower case, ASCII, no final dot. IPv6 comes without brackets.

    Raises `Invalid` for spellings that readers understand differently: numbers that are no dotted quad (decimal,
    octal, hexadecimal, short), zones, digits of other scripts, anything that is no host name.
    """
    if ":" in host:
        return str(_six(host))
    try:
        name = host.encode("ascii" if host.isascii() else "idna").decode().lower()
    except UnicodeError:
        raise _odd("it is no host name") from None
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise _odd("it is no host name")
    if _NUMBER.fullmatch(labels[-1]):
        if not host.isascii() or not _is_quad(name):
            raise _odd("it is a number that readers understand differently")
        return name
    return name


def _six(host: str) -> IPv6Address:
    try:
        if "%" in host:
            raise _odd("it names a zone")
        return IPv6Address(host)
    except ValueError:
        raise _odd("it is no IPv6 address") from None


def _is_quad(name: str) -> bool:
    try:
        return str(IPv4Address(name)) == name
    except ValueError:
        return False


def _odd(why: str) -> Invalid:
    return Invalid(
        "url.host", f"the URL's host cannot be used: {why}", "write a host name, or 192.0.2.1, or [2001:db8::1]"
    )


def checked(found: Iterable[str]) -> Iterator[Address]:
    """Addresses as a resolver gives them, zones left out."""
    for text in found:
        yield ip_address(text.partition("%")[0])
